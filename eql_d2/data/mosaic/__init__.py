from .dataset import MosaicDataset
from .mixing import MosaicMixup

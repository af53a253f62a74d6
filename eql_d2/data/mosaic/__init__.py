from .boxes import clip_boxes, have_area, survive
from .dataset import MosaicDataset
from .layer import Layer
from .mixing import Mixture, MosaicMixup

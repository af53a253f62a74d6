from .dataset import CopyPasteDataset
from .pasting import CopyPaste

from .affine import AffineTransform, RandomAffine
from .build import build_augmentation
from .color import RandomHSV
from .resize import ResizeLongestEdge

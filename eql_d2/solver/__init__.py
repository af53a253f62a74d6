from .build import ClippedSGD, build_optimizer
from .lamb import build_lamb

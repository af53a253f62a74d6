from .build import ClippedSGD, build_optimizer

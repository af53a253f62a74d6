from .build import ClippedSGD, build_optimizer

__all__ = ["ClippedSGD", "build_optimizer"]

from .detection_checkpoint import EQLCheckpointer

__all__ = ["EQLCheckpointer"]

from .defaults import Trainer
from .hooks import GradientRatioHook
from .launch import launch
from .lazy import evaluate_lazy, train_lazy

__all__ = ["GradientRatioHook", "Trainer", "evaluate_lazy", "launch", "train_lazy"]

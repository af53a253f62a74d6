from .defaults import Trainer
from .hooks import GradientRatioHook
from .launch import launch
from .lazy import evaluate_lazy, train_lazy

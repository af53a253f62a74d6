from .base import ClassificationLoss
from .build import EQL_LOSS_REGISTRY, build_loss
from .cross_entropy import SigmoidCE, SoftmaxCE
from .eql import EQL, SEQL
from .eqlv2 import EQLv2
from .gradient_statistics import GradientStatistics

__all__ = [
    "EQL",
    "EQL_LOSS_REGISTRY",
    "SEQL",
    "ClassificationLoss",
    "EQLv2",
    "GradientStatistics",
    "SigmoidCE",
    "SoftmaxCE",
    "build_loss",
]

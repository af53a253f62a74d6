from .base import ClassificationLoss, DenseLoss
from .baselines import FocalLoss, SigmoidCE, SoftmaxCE
from .build import EQL_LOSS_REGISTRY, build_loss
from .efl import EFL, EQFL
from .eql import EQL, SEQL
from .eqlv2 import EQLv2
from .gradient_statistics import GradientStatistics
from .softmax_eql import SoftmaxEQL

__all__ = [
    "EFL",
    "EQFL",
    "EQL",
    "EQL_LOSS_REGISTRY",
    "SEQL",
    "ClassificationLoss",
    "DenseLoss",
    "EQLv2",
    "FocalLoss",
    "GradientStatistics",
    "SigmoidCE",
    "SoftmaxCE",
    "SoftmaxEQL",
    "build_loss",
]

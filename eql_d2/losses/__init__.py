from .base import ClassificationLoss, DenseLoss
from .baselines import FocalLoss, SigmoidCE, SoftmaxCE
from .build import EQL_LOSS_REGISTRY, build_loss
from .efl import EFL, EQFL
from .eql import EQL, SEQL
from .eqlv2 import EQLv2
from .gradient_statistics import GradientStatistics
from .softmax_eql import SoftmaxEQL

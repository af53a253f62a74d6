from .balanced_softmax import BalancedSoftmax
from .base import ClassificationLoss
from .baselines import SigmoidCE, SoftmaxCE
from .build import EQL_LOSS_REGISTRY, build_loss
from .calibration import FRACAL, Calibration, LogitAdjustment, NorCal, build_calibration, calibrate
from .class_weights import ClassWeightedSigmoidCE, ClassWeightedSoftmaxCE
from .dense import DenseLoss
from .ecm import ECM
from .efl import EFL, EQFL
from .eql import EQL, SEQL, InstanceCountEQL
from .eqlv2 import EQLv2
from .focal import FocalFamily, FocalLoss
from .gradient_statistics import GradientStatistics
from .seesaw import SeesawLoss
from .softmax_eql import SoftmaxEQL
from .step import SteppedLoss, step_of

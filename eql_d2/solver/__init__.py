from .build import ClippedSGD, build_lr_scheduler, build_optimizer
from .lamb import build_lamb
from .lr_scheduler import QuadraticParamScheduler, WarmupCosineConstantParamScheduler
from .weight_decay import get_optimizer_params, override_weight_decay

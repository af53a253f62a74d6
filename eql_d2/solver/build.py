"""Optimizers: Detectron2's SGD, the same with another clipping, and LAMB; and schedules."""

import math
from collections.abc import Callable

import torch
from detectron2.config import CfgNode
from detectron2.projects.deeplab import build_lr_scheduler as deeplab_build_lr_scheduler
from detectron2.solver import LRMultiplier, LRScheduler
from detectron2.solver import build_optimizer as d2_build_optimizer
from detectron2.solver.build import maybe_add_gradient_clipping
from torch import nn

from ..exceptions import InputError
from .lamb import build_lamb
from .lr_scheduler import WarmupCosineConstantParamScheduler
from .weight_decay import override_weight_decay


class ClippedSGD(torch.optim.SGD):
    """SGD that first scales all gradients by one factor, if their common norm exceeds a limit.

    Detectron2's own types of ``SOLVER.CLIP_GRADIENTS`` clip each parameter by itself; the recipe of
    EFL clips the model. Right with a GradScaler too, which calls it with unscaled gradients.

    Args:
        params: as for :class:`torch.optim.SGD`.
        **kwargs: as there.
        max_norm: largest norm of all gradients together.

    Raises:
        InputError: the norm is not a positive number.
    """

    def __init__(self, params, *, max_norm: float, **kwargs):
        super().__init__(params, **kwargs)
        if not 0 < max_norm < math.inf:
            raise InputError(f"max_norm of ClippedSGD is {max_norm}: give a positive norm")
        self.max_norm = max_norm
        # A fused optimizer would get gradients that are still scaled, of which the norm is another.
        self._step_supports_amp_scaling = False

    def __getstate__(self) -> dict:
        # An optimizer's own has nothing of a subclass: a copy would have no norm.
        return super().__getstate__() | {"max_norm": self.max_norm}

    def step(self, closure: Callable | None = None):
        parameters = [p for group in self.param_groups for p in group["params"]]
        nn.utils.clip_grad_norm_(parameters, self.max_norm)
        return super().step(closure)


def build_optimizer(cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
    """The optimizer ``SOLVER.OPTIMIZER``: "SGD", Detectron2's, or "LAMB", timm's.

    With ``SOLVER.CLIP_GRADIENTS.CLIP_TYPE`` "full_model" SGD clips the gradients of the whole model
    to the norm ``CLIP_VALUE``. LAMB has the learning rates and weight decays of SGD, and no
    momentum of ``SOLVER``. Weight decays follow ``SOLVER.WEIGHT_DECAY_OVERRIDES``, see
    :func:`.weight_decay.override_weight_decay`.

    Raises:
        InputError: the optimizer or the type of clipping is unknown; LAMB is to clip, or timm is
            missing; a pattern of the overrides fits no parameter.
    """
    name, clipping = cfg.SOLVER.OPTIMIZER, cfg.SOLVER.CLIP_GRADIENTS
    if name not in ("SGD", "LAMB"):
        raise InputError(f"SOLVER.OPTIMIZER is {name!r}: choose SGD or LAMB")
    if clipping.ENABLED and name == "LAMB":
        raise InputError(
            "SOLVER.CLIP_GRADIENTS.ENABLED is True, but LAMB clips by itself: set it to False"
        )
    if clipping.ENABLED and clipping.CLIP_TYPE not in ("value", "norm", "full_model"):
        raise InputError(
            f"SOLVER.CLIP_GRADIENTS.CLIP_TYPE is {clipping.CLIP_TYPE!r}: choose value, norm or "
            "full_model"
        )
    groups = _param_groups(cfg, model)
    if name == "LAMB":
        groups = [{key: group[key] for key in ("params", "lr", "weight_decay")} for group in groups]
        return build_lamb(groups, lr=cfg.SOLVER.BASE_LR, weight_decay=cfg.SOLVER.WEIGHT_DECAY)
    if clipping.ENABLED and clipping.CLIP_TYPE == "full_model":
        return ClippedSGD(groups, max_norm=clipping.CLIP_VALUE, lr=cfg.SOLVER.BASE_LR)
    # Detectron2's, of which the groups have all settings.
    return maybe_add_gradient_clipping(cfg, torch.optim.SGD)(groups, lr=cfg.SOLVER.BASE_LR)


def _param_groups(cfg: CfgNode, model: nn.Module) -> list[dict]:
    """Those of Detectron2's SGD, with the overrides."""
    plain = cfg.clone()
    plain.defrost()
    plain.SOLVER.CLIP_GRADIENTS.ENABLED = False
    groups = d2_build_optimizer(plain, model).param_groups
    return override_weight_decay(groups, model, cfg.SOLVER.WEIGHT_DECAY_OVERRIDES)


def build_lr_scheduler(cfg: CfgNode, optimizer: torch.optim.Optimizer) -> LRScheduler:
    """The schedule ``SOLVER.LR_SCHEDULER_NAME``: those of Detectron2 and of its DeepLab, and
    "WarmupCosineConstantLR", see :class:`.lr_scheduler.WarmupCosineConstantParamScheduler`.

    The last ends at ``SOLVER.BASE_LR_END``, in whose place other groups have as large a share of
    their own learning rate, and does without ``WARMUP_METHOD`` and ``WARMUP_FACTOR``. As in
    Detectron2 a training shorter than ``WARMUP_ITERS`` is all warm-up.

    Raises:
        InputError: see there.
    """
    solver = cfg.SOLVER
    if solver.LR_SCHEDULER_NAME != "WarmupCosineConstantLR":
        return deeplab_build_lr_scheduler(cfg, optimizer)
    multiplier = WarmupCosineConstantParamScheduler(
        solver.BASE_LR_END / solver.BASE_LR,
        min(solver.WARMUP_ITERS / solver.MAX_ITER, 1.0),
        solver.CONSTANT_ITERS / solver.MAX_ITER,
    )
    return LRMultiplier(optimizer, multiplier, solver.MAX_ITER)

"""Optimizers: Detectron2's SGD, the same with another clipping, and LAMB."""

from collections.abc import Callable

import torch
from detectron2.config import CfgNode
from detectron2.solver import build_optimizer as d2_build_optimizer
from torch import nn

from ..exceptions import InputError
from .lamb import build_lamb


class ClippedSGD(torch.optim.SGD):
    """SGD that first scales all gradients by one factor, if their common norm exceeds a limit.

    Detectron2's own types of ``SOLVER.CLIP_GRADIENTS`` clip each parameter by itself; the recipe of
    EFL clips the model. Right with a GradScaler too, which calls it with unscaled gradients.

    Args:
        params, **kwargs: as for :class:`torch.optim.SGD`.
        max_norm: largest norm of all gradients together.

    Raises:
        InputError: the norm is not positive.
    """

    def __init__(self, params, *, max_norm: float, **kwargs):
        super().__init__(params, **kwargs)
        if max_norm <= 0:
            raise InputError(f"max_norm of ClippedSGD is {max_norm}: give a positive norm")
        self.max_norm = max_norm

    def step(self, closure: Callable | None = None):
        parameters = [p for group in self.param_groups for p in group["params"]]
        nn.utils.clip_grad_norm_(parameters, self.max_norm)
        return super().step(closure)


def build_optimizer(cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
    """The optimizer ``SOLVER.OPTIMIZER``: "SGD", Detectron2's, or "LAMB", timm's.

    With ``SOLVER.CLIP_GRADIENTS.CLIP_TYPE`` "full_model" SGD clips the gradients of the whole model
    to the norm ``CLIP_VALUE``. LAMB has the learning rates and weight decays of SGD, and no
    momentum of ``SOLVER``.

    Raises:
        InputError: the optimizer or the type of clipping is unknown; LAMB is to clip, or timm is
            missing.
    """
    name, clipping = cfg.SOLVER.OPTIMIZER, cfg.SOLVER.CLIP_GRADIENTS
    if name not in ("SGD", "LAMB"):
        raise InputError(f"SOLVER.OPTIMIZER is {name!r}: choose SGD or LAMB")
    if name == "LAMB":
        return _build_lamb(cfg, model)
    if not clipping.ENABLED or clipping.CLIP_TYPE in ("value", "norm"):
        return d2_build_optimizer(cfg, model)
    if clipping.CLIP_TYPE != "full_model":
        raise InputError(
            f"SOLVER.CLIP_GRADIENTS.CLIP_TYPE is {clipping.CLIP_TYPE!r}: choose value, norm or "
            "full_model"
        )
    plain = cfg.clone()
    plain.defrost()
    plain.SOLVER.CLIP_GRADIENTS.ENABLED = False
    groups = d2_build_optimizer(plain, model).param_groups
    return ClippedSGD(groups, max_norm=clipping.CLIP_VALUE, lr=cfg.SOLVER.BASE_LR)


def _build_lamb(cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
    if cfg.SOLVER.CLIP_GRADIENTS.ENABLED:
        raise InputError(
            "SOLVER.CLIP_GRADIENTS.ENABLED is True, but LAMB clips by itself: set it to False"
        )
    groups = [
        {key: group[key] for key in ("params", "lr", "weight_decay")}
        for group in d2_build_optimizer(cfg, model).param_groups
    ]
    return build_lamb(groups, lr=cfg.SOLVER.BASE_LR, weight_decay=cfg.SOLVER.WEIGHT_DECAY)

"""SGD with the gradients of the whole model clipped together."""

from collections.abc import Callable

import torch
from detectron2.config import CfgNode
from detectron2.solver import build_optimizer as d2_build_optimizer
from torch import nn

from ..exceptions import InputError


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
    """Detectron2's optimizer; with ``SOLVER.CLIP_GRADIENTS.CLIP_TYPE`` "full_model" one that clips
    the gradients of the whole model to the norm ``CLIP_VALUE``.

    Raises:
        InputError: the type of clipping is unknown.
    """
    clipping = cfg.SOLVER.CLIP_GRADIENTS
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

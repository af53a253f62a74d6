"""SGD with the gradients of the whole model clipped together."""

from collections.abc import Callable

import torch
from detectron2.config import CfgNode
from detectron2.solver import build_optimizer as d2_build_optimizer
from torch import nn

from ..exceptions import InputError


class ClippedSGD(torch.optim.SGD):
    """SGD that first scales all gradients by one factor, if their common norm exceeds a limit.

    Detectron2's ``SOLVER.CLIP_GRADIENTS`` clips each parameter by itself; the recipe of EFL clips
    the model. Right with a GradScaler too, which calls it with gradients already unscaled.

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
    """Detectron2's optimizer; with ``SOLVER.CLIP_GRADIENTS.FULL_MODEL_NORM`` a clipping one."""
    optimizer = d2_build_optimizer(cfg, model)
    max_norm = cfg.SOLVER.CLIP_GRADIENTS.FULL_MODEL_NORM
    if max_norm == 0:
        return optimizer
    return ClippedSGD(optimizer.param_groups, max_norm=max_norm, lr=cfg.SOLVER.BASE_LR)

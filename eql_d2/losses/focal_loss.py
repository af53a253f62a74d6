"""Focal loss (arXiv 1708.02002), the baseline of the dense losses."""

from collections.abc import Sequence

import torch
from detectron2.config import configurable
from torch import Tensor

from ..exceptions import InputError
from .base import DenseLoss
from .build import EQL_LOSS_REGISTRY
from .class_focal_loss import class_focal_loss


@EQL_LOSS_REGISTRY.register()
class FocalLoss(DenseLoss):
    """Focal loss (arXiv 1708.02002), the baseline; Detectron2's RetinaNet with less memory.

    Args:
        num_classes: number C of classes.
        gamma: focusing factor.
        alpha: weight of the positives, 1 - alpha of the negatives; negative for none.
        prior_prob: probability that each class starts with. RetinaNet has 0.01; the default is
            that of the official EFL baseline.
    """

    @configurable
    def __init__(
        self,
        num_classes: int,
        gamma: float = 2.0,
        alpha: float = 0.25,
        prior_prob: float | None = 0.001,
    ):
        super().__init__(num_classes, prior_prob)
        check_not_negative("FocalLoss", gamma=gamma)
        self.gamma = gamma
        self.alpha = alpha

    @classmethod
    def from_config(cls, cfg, num_classes):
        return {
            "num_classes": num_classes,
            "gamma": cfg.MODEL.RETINANET.FOCAL_LOSS_GAMMA,
            "alpha": cfg.MODEL.RETINANET.FOCAL_LOSS_ALPHA,
            "prior_prob": cfg.MODEL.EQL.PRIOR_PROB,
        }

    @torch.jit.unused
    def forward(
        self,
        logits: Tensor | Sequence[Tensor],
        targets: Tensor,
        *,
        normalizer: float | Tensor | None = None,
    ) -> Tensor:
        planes, labels = self._planes(logits, targets)
        one = torch.ones(self.num_classes, device=targets.device)
        one /= normalizer or self._default_normalizer(targets)
        pos_weight, neg_weight = alpha_weights(self.alpha)
        gamma = torch.full_like(one, self.gamma)
        loss, pos_grad, neg_grad = class_focal_loss(
            planes, labels, gamma, pos_weight * one, neg_weight * one
        )
        self._accumulate(pos_grad, neg_grad)
        return loss


def alpha_weights(alpha: float) -> tuple[float, float]:
    return (alpha, 1 - alpha) if alpha >= 0 else (1.0, 1.0)


def check_not_negative(loss: str, **arguments: float) -> None:
    for name, value in arguments.items():
        if value < 0:
            raise InputError(f"{name} of {loss} is {value}: it must not be negative")

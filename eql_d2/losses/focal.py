"""The focal loss, and what the equalized ones share with it."""

import torch
from detectron2.config import configurable
from torch import Tensor

from ..exceptions import InputError
from .arguments import Normalizer, is_number
from .build import EQL_LOSS_REGISTRY
from .dense import DenseLoss, Maps
from .functional import class_focal_loss
from .functional.checks import quality_problem


class FocalFamily(DenseLoss):
    """What focal losses share: the maths of :func:`class_focal_loss`. A subclass has the factors.

    Args:
        num_classes: number C of classes.
        gamma: focusing factor.
        alpha: weight of the positives, 1 - alpha of the negatives; negative for none.
        prior_prob: probability that each class starts with.

    Raises:
        InputError: gamma is negative, or alpha above 1.
    """

    def __init__(self, num_classes: int, gamma: float, alpha: float, prior_prob: float | None):
        super().__init__(num_classes, prior_prob)
        name = type(self).__name__
        if not is_number(gamma) or gamma < 0:
            raise InputError(f"gamma of {name} is {gamma}: it must not be negative")
        if not is_number(alpha) or alpha > 1:
            raise InputError(
                f"alpha of {name} is {alpha}: give 0 to 1, or a negative number for no weights"
            )
        self.gamma = gamma
        self.alpha = alpha

    def _factors(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Focusing factor and weight of each class, (C,)."""
        raise NotImplementedError

    @torch.jit.unused
    def _loss(
        self,
        logits: Maps,
        targets: Tensor,
        normalizer: Normalizer,
        row_weight: Tensor | None,
        quality: Tensor | None = None,
    ) -> Tensor:
        self._check_shapes(logits, targets, row_weight)
        planes, labels = self._planes(logits, targets)
        if quality is not None:
            self._refuse(quality_problem(quality, targets))
            quality = self._planes(logits, quality)[1]
        weights = None if row_weight is None else self._planes(logits, row_weight)[1]
        gamma, weight = self._factors(targets.device)
        weight = weight / self._normalizer(normalizer, targets, row_weight)
        of_positives, of_negatives = (self.alpha, 1 - self.alpha) if self.alpha >= 0 else (1.0, 1.0)
        factors = gamma, of_positives * weight, of_negatives * weight
        loss, pos_grad, neg_grad = class_focal_loss(planes, labels, *factors, quality, weights)
        self._accumulate(pos_grad, neg_grad)
        return loss


@EQL_LOSS_REGISTRY.register()
class FocalLoss(FocalFamily):
    """Focal loss (arXiv 1708.02002), the baseline; Detectron2's RetinaNet with less memory.

    Args:
        num_classes, gamma, alpha: see :class:`FocalFamily`.
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
        super().__init__(num_classes, gamma, alpha, prior_prob)

    @classmethod
    def from_config(cls, cfg, num_classes):
        return {
            **super().from_config(cfg, num_classes),
            "gamma": cfg.MODEL.RETINANET.FOCAL_LOSS_GAMMA,
            "alpha": cfg.MODEL.RETINANET.FOCAL_LOSS_ALPHA,
        }

    def _factors(self, device: torch.device) -> tuple[Tensor, Tensor]:
        one = torch.ones(self.num_classes, device=device)
        return self.gamma * one, one

    @torch.jit.unused
    def forward(
        self,
        logits: Maps,
        targets: Tensor,
        *,
        normalizer: Normalizer = None,
        row_weight: Tensor | None = None,
    ) -> Tensor:
        return self._loss(logits, targets, normalizer, row_weight)

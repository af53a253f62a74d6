"""The baselines that the equalization losses are compared with: Detectron2's own two losses."""

import torch
import torch.nn.functional as F
from detectron2.config import configurable
from torch import Tensor

from .base import ClassificationLoss, without_ignored
from .build import EQL_LOSS_REGISTRY
from .sigmoid_cross_entropy import weighted_sigmoid_cross_entropy


@EQL_LOSS_REGISTRY.register()
class SoftmaxCE(ClassificationLoss):
    """Softmax cross entropy over C foreground columns and one background column.

    Same loss and same scores as Detectron2's ``FastRCNNOutputLayers``.

    Args:
        num_classes: number C of foreground classes.
    """

    @configurable
    def __init__(self, num_classes: int):
        super().__init__(num_classes, num_logits=num_classes + 1)

    @classmethod
    def from_config(cls, cfg, num_classes):
        return {"num_classes": num_classes}

    @torch.jit.unused
    def forward(
        self, logits: Tensor, targets: Tensor, *, normalizer: float | None = None
    ) -> Tensor:
        self._check_shapes(logits, targets)
        logits, targets = without_ignored(logits, targets)
        loss = F.cross_entropy(logits, targets, reduction="sum")
        return loss / (normalizer or max(len(targets), 1))

    def scores(self, logits: Tensor) -> Tensor:
        return F.softmax(logits, dim=-1)[:, : self.num_classes]


@EQL_LOSS_REGISTRY.register()
class SigmoidCE(ClassificationLoss):
    """Sigmoid cross entropy, each class on its own; column C is unused.

    Same loss and same scores as Detectron2's ``FastRCNNOutputLayers(use_sigmoid_ce=True)``.

    Args:
        num_classes: number C of foreground classes.
        prior_prob: probability that every class starts with. Detectron2 has no prior (0.5); the
            default is that of the official EQL and EQL v2 baselines.
    """

    @configurable
    def __init__(self, num_classes: int, prior_prob: float | None = 0.001):
        super().__init__(num_classes, num_logits=num_classes + 1, prior_prob=prior_prob)

    @classmethod
    def from_config(cls, cfg, num_classes):
        return {"num_classes": num_classes, "prior_prob": cfg.MODEL.EQL.PRIOR_PROB}

    @torch.jit.unused
    def forward(
        self, logits: Tensor, targets: Tensor, *, normalizer: float | None = None
    ) -> Tensor:
        self._check_shapes(logits, targets)
        logits, targets = without_ignored(logits, targets)
        weight = logits.new_ones(self.num_logits, dtype=torch.float32)
        weight[self.num_classes] = 0
        loss = weighted_sigmoid_cross_entropy(logits, targets, weight, weight).loss
        return loss / (normalizer or max(len(targets), 1))

    def scores(self, logits: Tensor) -> Tensor:
        return logits[:, : self.num_classes].sigmoid()

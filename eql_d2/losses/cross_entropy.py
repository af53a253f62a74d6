"""The baselines that the equalization losses are compared with: Detectron2's own two losses."""

import torch
import torch.nn.functional as F
from detectron2.config import configurable
from torch import Tensor

from .base import ClassificationLoss, count_labels
from .build import EQL_LOSS_REGISTRY
from .sigmoid_cross_entropy import weighted_sigmoid_cross_entropy
from .softmax_cross_entropy import softmax_cross_entropy

# Label that F.cross_entropy ignores
_IGNORED = -100


@EQL_LOSS_REGISTRY.register()
class SoftmaxCE(ClassificationLoss):
    """Softmax cross entropy, in a box head over C foreground columns and a background column.

    Same loss and same scores as Detectron2's ``FastRCNNOutputLayers``.

    Args:
        num_classes: number C of foreground classes.
    """

    takes_soft_labels = True

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
        normalizer = normalizer or count_labels(targets)
        if self.statistics is not None:
            no_margin = logits.new_zeros(logits.shape[1])
            sums = softmax_cross_entropy(logits.detach(), targets, no_margin, normalizer)
            self._accumulate(sums.pos_grad, sums.neg_grad)
        return summed_cross_entropy(logits, targets) / normalizer

    def scores(self, logits: Tensor) -> Tensor:
        return F.softmax(logits, dim=1)[:, : self.num_classes]


def summed_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """PyTorch's cross entropy, summed over what is not ignored; negative labels are."""
    if not targets.is_floating_point():
        targets = targets.where(targets >= 0, _IGNORED)
    return F.cross_entropy(logits, targets, reduction="sum", ignore_index=_IGNORED)


@EQL_LOSS_REGISTRY.register()
class SigmoidCE(ClassificationLoss):
    """Sigmoid cross entropy, each class on its own; the column C of a box head is unused.

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
        weight = logits.new_ones(logits.shape[1], dtype=torch.float32)
        weight[self.num_classes :] = 0
        loss, pos_grad, neg_grad = weighted_sigmoid_cross_entropy(logits, targets, weight, weight)
        self._accumulate(pos_grad, neg_grad)
        return loss / (normalizer or count_labels(targets))

    def scores(self, logits: Tensor) -> Tensor:
        return logits[:, : self.num_classes].sigmoid()

"""The baselines that the equalization losses are compared with: Detectron2's own two losses."""

import torch
import torch.nn.functional as F
from detectron2.config import configurable
from torch import Tensor

from .base import ClassificationLoss
from .build import EQL_LOSS_REGISTRY
from .sigmoid_cross_entropy import weighted_sigmoid_cross_entropy
from .softmax_cross_entropy import softmax_cross_entropy

# Label that F.cross_entropy ignores
_IGNORED = -100


class SoftmaxLoss(ClassificationLoss):
    """What softmax losses share: their scores, and PyTorch's cross entropy, measured on demand."""

    @torch.jit.unused
    def _cross_entropy(self, logits: Tensor, targets: Tensor, normalizer: float | Tensor) -> Tensor:
        """Cross entropy over the normaliser. Where the loss is monitored its gradients come from a
        pass of their own, so that the loss stays PyTorch's to the last bit."""
        if self.statistics is not None:
            no_margin = logits.new_zeros(logits.shape[1])
            sums = softmax_cross_entropy(logits.detach(), targets, no_margin, normalizer)
            self._accumulate(sums.pos_grad, sums.neg_grad)
        if not targets.is_floating_point():
            targets = targets.where(targets >= 0, _IGNORED)
        summed = F.cross_entropy(logits, targets, reduction="sum", ignore_index=_IGNORED)
        return summed / normalizer

    def scores(self, logits: Tensor) -> Tensor:
        return F.softmax(logits, dim=1)[:, : self.num_classes]


@EQL_LOSS_REGISTRY.register()
class SoftmaxCE(SoftmaxLoss):
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
        normalizer = normalizer or self._default_normalizer(targets)
        return self._cross_entropy(logits, targets, normalizer)


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
        return loss / (normalizer or self._default_normalizer(targets))

    def scores(self, logits: Tensor) -> Tensor:
        return logits[:, : self.num_classes].sigmoid()

"""The baselines that the equalization losses are compared with: Detectron2's own losses."""

import torch
import torch.nn.functional as F
from detectron2.config import configurable
from torch import Tensor

from .arguments import Normalizer, divided, in_float32
from .base import ClassificationLoss
from .build import EQL_LOSS_REGISTRY
from .functional import (
    softmax_cross_entropy,
    weighted_sigmoid_cross_entropy,
)
from .functional.checks import without_weightless

# Label that F.cross_entropy ignores
_IGNORED = -100


class SigmoidLoss(ClassificationLoss):
    """What sigmoid losses share: weighted cross entropy of each column on its own. A subclass has
    the weights; the scores are those of a loss that does not use column C of a box head."""

    default_prior = 0.001  # of the official code
    counts_undivided = True

    def _weights(self, logits: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Weights of the K columns as positive, (K,), as negative, (K,) or (G, K), and the group of
        each label, see :func:`weighted_sigmoid_cross_entropy`."""
        raise NotImplementedError

    @torch.jit.unused
    def forward(
        self,
        logits: Tensor,
        targets: Tensor,
        *,
        normalizer: Normalizer = None,
        row_weight: Tensor | None = None,
    ) -> Tensor:
        self._check_shapes(logits, targets, row_weight)
        sums = weighted_sigmoid_cross_entropy(logits, targets, *self._weights(logits), row_weight)
        self._accumulate(sums.pos_grad, sums.neg_grad)
        return divided(sums.loss, self._normalizer(normalizer, targets, row_weight))

    def scores(self, logits: Tensor) -> Tensor:
        return in_float32(logits[:, : self.num_classes]).sigmoid()

    def _scores_of_objects(self, logits: Tensor) -> Tensor:
        """The scores of a loss that does use column C: times what it leaves to the foreground."""
        probs = in_float32(logits).sigmoid()
        scores = probs[:, : self.num_classes]
        if logits.shape[1] > self.num_classes:
            scores = scores * (1 - probs[:, self.num_classes :])
        return scores

    @torch.jit.unused
    def _foreground(self, logits: Tensor) -> Tensor:
        """1 for the C foreground columns, 0 for others, float32 (K,)."""
        weight = logits.new_ones(logits.shape[1], dtype=torch.float32)
        weight[self.num_classes :] = 0
        return weight


class _WithoutIgnored(torch.autograd.Function):
    """The logits as they are, with a gradient of zero where the target is ignored: there that of
    PyTorch's cross entropy is 0 times the softmax, NaN for logits that are not finite."""

    @staticmethod
    def forward(ctx, logits: Tensor, ignored: Tensor) -> Tensor:
        ctx.ignored = ignored
        return logits.view_as(logits)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        ignored = ctx.ignored
        if ignored.device.type == "cpu" and not ignored.any():  # no copy; a GPU is not asked
            return gradient, None
        return gradient.masked_fill(ignored.unsqueeze(1), 0), None


class SoftmaxLoss(ClassificationLoss):
    """What softmax losses share: their scores, and PyTorch's cross entropy, measured on demand."""

    @torch.jit.unused
    def forward(
        self,
        logits: Tensor,
        targets: Tensor,
        *,
        normalizer: Normalizer = None,
        row_weight: Tensor | None = None,
    ) -> Tensor:
        self._check_shapes(logits, targets, row_weight)
        normalizer = self._normalizer(normalizer, targets, row_weight)
        total = self._summed_cross_entropy(logits, targets, normalizer, row_weight)
        return divided(total, normalizer)

    @torch.jit.unused
    def _label_weight(self, logits: Tensor) -> Tensor | None:
        """Weight of a row by the column of its label, (K,); None for 1."""
        return None

    @torch.jit.unused
    def _summed_cross_entropy(
        self,
        logits: Tensor,
        targets: Tensor,
        normalizer: float | Tensor,
        row_weight: Tensor | None,
    ) -> Tensor:
        """Cross entropy, not divided by the normaliser, as the statistics are. Where the loss is
        monitored its gradients come from a pass of their own, so that the loss stays PyTorch's to
        the last bit."""
        logits, targets = in_float32(logits), without_weightless(targets, row_weight)
        if not targets.is_floating_point():
            ignored = targets < 0
            logits = _WithoutIgnored.apply(logits, ignored)
        if self.statistics is not None:
            sums = self._gradient_sums(logits.detach(), targets, normalizer, row_weight)
            self._accumulate(*sums)
        if not targets.is_floating_point():
            targets = targets.masked_fill(ignored, _IGNORED)
        options = {"weight": self._label_weight(logits), "ignore_index": _IGNORED}
        if row_weight is None:
            return F.cross_entropy(logits, targets, reduction="sum", **options)
        losses = F.cross_entropy(logits, targets, reduction="none", **options)
        return (losses * row_weight.to(losses.dtype)).sum()

    def _gradient_sums(
        self,
        logits: Tensor,
        targets: Tensor,
        normalizer: float | Tensor,
        row_weight: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Sums of the positive and of the negative gradients of each column, (K,)."""
        no_margin = logits.new_zeros(logits.shape[1])
        sums = softmax_cross_entropy(logits, targets, no_margin, normalizer, row_weight)
        return sums.pos_grad, sums.neg_grad

    def scores(self, logits: Tensor) -> Tensor:
        return F.softmax(in_float32(logits), dim=1)[:, : self.num_classes]


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


@EQL_LOSS_REGISTRY.register()
class SigmoidCE(SigmoidLoss):
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

    @torch.jit.unused
    def _weights(self, logits: Tensor) -> tuple[Tensor, Tensor, None]:
        weight = self._foreground(logits)
        return weight, weight, None

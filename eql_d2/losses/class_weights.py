"""Softmax and sigmoid cross entropy with a weight for each class (arXiv 1901.05555)."""

import math

import torch
from detectron2.config import configurable
from torch import Tensor

from ..exceptions import InputError
from .arguments import PerClass, in_float32, is_number
from .baselines import SigmoidLoss, SoftmaxLoss
from .build import EQL_LOSS_REGISTRY
from .sample_counts import SampleCountLoss

WEIGHTINGS = ("inverse", "square_root", "effective_number")


def weights_of_counts(class_count: Tensor, weighting: str, beta: float) -> Tensor:
    r"""Weights of classes by their n training samples, with a mean of 1 over the classes.

    ``inverse`` is :math:`1 / n`, ``square_root`` :math:`1 / \sqrt n`, ``effective_number``
    :math:`(1 - \beta) / (1 - \beta^n)`, which is 1 for :math:`\beta = 0` and nears :math:`1 / n` as
    :math:`\beta` nears 1.

    Args:
        class_count: n, (C,), positive.
        weighting: one of ``WEIGHTINGS``.
        beta: 0 or more and below 1; of ``effective_number`` only.

    Returns:
        (C,), float64.
    """
    count = class_count.double()
    if weighting == "inverse":
        weight = 1 / count
    elif weighting == "square_root":
        weight = count.rsqrt()
    else:
        log_beta = math.log(beta) if beta > 0 else -math.inf
        weight = (1 - beta) / -torch.expm1(count * log_beta)
    return weight / weight.mean()


class ClassWeightedLoss(SampleCountLoss):
    r"""A baseline in which a row weighs as its label does.

    .. math::
        L = \frac{1}{R} \sum_i w_{y_i} L_i

    The weights are those of :func:`weights_of_counts`, scaled to a mean of 1 over the C classes as
    in the official code, and 1 for the background of a box head, which is ours. The sum is divided
    by the number R of rows, as in the official code and as in all losses here, not by the sum of
    their weights, which is the mean of ``F.cross_entropy(weight=...)``: there the pull of a sample
    depends on which others are in its batch.

    Args:
        num_classes, class_count: see :class:`SampleCountLoss`.
        weighting: "inverse", "square_root" or "effective_number".
        beta: of the effective number. 0.9999 is that of the official script for CIFAR.
        prior_prob: see :class:`ClassificationLoss`.

    Raises:
        InputError: see :class:`SampleCountLoss`; another weighting; beta not in [0, 1).
    """

    def __init__(
        self,
        num_classes: int,
        class_count: PerClass,
        weighting: str,
        beta: float,
        prior_prob: float | None = None,
    ):
        super().__init__(num_classes, class_count, prior_prob)
        name = type(self).__name__
        if weighting not in WEIGHTINGS:
            raise InputError(
                f"weighting of {name} is {weighting!r}: choose one of {', '.join(WEIGHTINGS)}"
            )
        if not (is_number(beta) and 0 <= beta < 1):
            raise InputError(f"beta of {name} is {beta}: give 0 or more and below 1, 0.9999")
        self.weighting = weighting
        self.beta = beta

    @torch.jit.unused
    def _label_weight(self, logits: Tensor) -> Tensor:
        """Weight of each column as label, (K,)."""
        weight = weights_of_counts(self._samples(logits), self.weighting, self.beta)
        background = weight.new_ones(logits.shape[1] - self.num_classes)
        return torch.cat([weight, background]).to(in_float32(logits[:0]).dtype)

    def extra_repr(self) -> str:
        return f"num_classes={self.num_classes}, weighting={self.weighting!r}, beta={self.beta}"


@EQL_LOSS_REGISTRY.register()
class ClassWeightedSoftmaxCE(ClassWeightedLoss, SoftmaxLoss):
    """:class:`SoftmaxCE` with class weights, see :class:`ClassWeightedLoss`.

    Soft labels (mixup, CutMix) are those of ``F.cross_entropy(weight=...)``: each share of a row
    has the weight of its class.
    """

    takes_soft_labels = True

    @configurable
    def __init__(
        self,
        num_classes: int,
        class_count: PerClass,
        weighting: str = "effective_number",
        beta: float = 0.9999,
    ):
        super().__init__(num_classes, class_count, weighting, beta)

    @torch.no_grad()
    def _gradient_sums(
        self,
        logits: Tensor,
        targets: Tensor,
        normalizer: float | Tensor,
        row_weight: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        shape = [1, -1] + [1] * (logits.dim() - 2)
        if targets.is_floating_point():
            y = targets.to(logits.dtype)
        else:
            ignored = (targets < 0).unsqueeze(1)
            logits = logits.masked_fill(ignored, 0)
            y = torch.zeros_like(logits).scatter_(1, targets.clamp(min=0).unsqueeze(1), 1.0)
            y = y.masked_fill_(ignored, 0)
        weighted = self._label_weight(logits).view(shape) * y
        gradient = logits.softmax(1) * weighted.sum(1, keepdim=True) - weighted
        gradient = gradient.abs() / normalizer
        if row_weight is not None:
            gradient = gradient * row_weight.unsqueeze(1)
        rows = [0, *range(2, logits.dim())]
        return tuple((gradient * part).sum(rows, dtype=torch.float64) for part in (y, 1 - y))


@EQL_LOSS_REGISTRY.register()
class ClassWeightedSigmoidCE(ClassWeightedLoss, SigmoidLoss):
    """:class:`SigmoidCE` with class weights, see :class:`ClassWeightedLoss`: as in the official
    code the weight of a row's label is that of all its columns, not of the label's alone."""

    @configurable
    def __init__(
        self,
        num_classes: int,
        class_count: PerClass,
        weighting: str = "effective_number",
        beta: float = 0.9999,
        prior_prob: float | None = 0.001,
    ):
        super().__init__(num_classes, class_count, weighting, beta, prior_prob)

    @torch.jit.unused
    def _weights(self, logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        weight, foreground = self._label_weight(logits), self._foreground(logits)
        columns = torch.arange(logits.shape[1], device=logits.device)
        # Each label is a group of its own, whose rows weigh the same in all columns.
        return weight * foreground, weight[:, None] * foreground, columns

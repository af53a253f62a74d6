"""Seesaw loss (CVPR 2021, arXiv 2008.10032)."""

import math

import torch
import torch.nn.functional as F
from detectron2.config import configurable
from torch import Tensor

from ..distributed import sum_over_ranks
from ..exceptions import InputError
from .arguments import Normalizer, divided, in_float32, is_number
from .baselines import SoftmaxLoss
from .build import EQL_LOSS_REGISTRY
from .functional import seesaw_margins
from .functional.checks import without_weightless


@EQL_LOSS_REGISTRY.register()
class SeesawLoss(SoftmaxLoss):
    r"""Softmax cross entropy in which negative classes weigh by their samples and their scores.

    For a row of label i,

    .. math::
        L = -\log \frac{e^{z_i}}{\sum_{j \neq i} M_{ij} C_{ij} e^{z_j} + e^{z_i}}

    Mitigation :math:`M_{ij} = (N_j / N_i)^p` for classes j with fewer samples than i, otherwise 1,
    protects the tail; compensation :math:`C_{ij} = (\sigma_j / \sigma_i)^q` for classes with a
    higher score than the label, otherwise 1, goes after mistakes. N are the samples that have been
    seen so far, the batch at hand included, see :func:`seesaw_margins` for all of the maths.

    The samples are counted in training with gradients enabled, in ``class_count``, a buffer that is
    saved with the model and missing in a checkpoint without complaint. Outside of training nothing
    is counted, and N is what has been counted before; so it is in all calls of a step of several
    (``step()``), gradient accumulation among them, since the batches to come are not known.

    On rows or maps of C columns (classification, segmentation) that is all. In a box head it is
    trained on the foreground rows, over the columns 0..C-1, and column C is the objectness: binary
    cross entropy of :math:`\mathrm{sigmoid}(d)`, 1 on background rows. Both parts are divided by
    the number of all rows, background included, as in the official code. At test the score of
    class j is :math:`\mathrm{softmax}_j(z) (1 - \mathrm{sigmoid}(d))`.

    The official code has two columns for the objectness, under a softmax. Only their difference d
    matters, and a step on both moves it twice as far as a step on one would. So here
    :math:`d = \sqrt 2 z_C`: the same distribution of d at the start, the same decay, the same d
    after each step of SGD, and the same norm of the gradient where that is clipped.

    Other deviations from the official code: N is summed over all processes (there each counts its
    own samples), in float64 (there float32, exact to 1.7e7). Segmentation is our reconstruction.

    Args:
        num_classes: number C of classes, in a box head without the background.
        p: exponent of the mitigation; 0 switches it off. This default and the next two: official
            code.
        q: exponent of the compensation; 0 switches it off.
        eps: smallest score of the label in the compensation.

    Raises:
        InputError: p or q is negative, or eps is not above 0 and at most 1.
    """

    class_count: Tensor

    @configurable
    def __init__(self, num_classes: int, p: float = 0.8, q: float = 2.0, eps: float = 0.01):
        super().__init__(num_classes, num_logits=num_classes + 1)
        for name, value in (("p", p), ("q", q)):
            if not is_number(value) or value < 0:
                raise InputError(f"{name} of SeesawLoss is {value}: it must not be negative")
        if not (is_number(eps) and 0 < eps <= 1):
            raise InputError(f"eps of SeesawLoss is {eps}: it is a probability, give 0.01")
        self.p = p
        self.q = q
        self.eps = eps
        self.register_buffer("class_count", torch.zeros(num_classes, dtype=torch.float64))

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
        class_count = self._count(targets, row_weight)
        normalizer = self._normalizer(normalizer, targets, row_weight)
        targets = without_weightless(targets, row_weight)
        if logits.dim() == 4:
            logits, targets = logits.permute(0, 2, 3, 1).flatten(0, 2), targets.flatten()
            row_weight = None if row_weight is None else row_weight.flatten()
        logits, labels = in_float32(logits), targets
        classes = logits[:, : self.num_classes]
        has_objectness = logits.shape[1] > self.num_classes
        if has_objectness:
            labels = targets.masked_fill(targets >= self.num_classes, -1)
        margins = seesaw_margins(classes, labels, class_count, self.p, self.q, self.eps)
        loss = self._summed_cross_entropy(classes + margins, labels, normalizer, row_weight)
        if has_objectness:
            loss = loss + self._objectness_loss(logits, targets, row_weight)
        return divided(loss, normalizer)

    @torch.jit.unused
    def _count(self, targets: Tensor, row_weight: Tensor | None) -> Tensor:
        """N, (C,). With several processes a collective, so before any return of a forward."""
        if not self.training or not self._counts:
            return self.class_count
        # Ignored ones are counted with the background, if there is one, and left out.
        label = targets.masked_fill(targets < 0, self.num_classes).flatten()
        # Not bincount: on a GPU it would be waited for.
        counted = self.class_count.new_zeros(self.num_classes + 1)
        weight = torch.ones_like(targets, dtype=counted.dtype) if row_weight is None else row_weight
        counted.index_add_(0, label, weight.flatten().to(counted.dtype))
        counted = counted[: self.num_classes]
        if self._sums is not None:  # whose other batches are not known yet
            if self._is_counted():
                self._sums["samples"] += counted
            return self.class_count
        class_count = self.class_count + sum_over_ranks(counted)
        if self._is_counted():  # not in the first pass of activation checkpointing
            self.class_count.copy_(class_count)
        return class_count

    def _collects(self) -> bool:
        return True

    def _new_sums(self) -> dict[str, Tensor]:
        return {**super()._new_sums(), "samples": torch.zeros_like(self.class_count)[None]}

    def _add_step(self, sums: dict[str, Tensor]) -> None:
        super()._add_step(sums)
        self.class_count += sums["samples"][0]

    @torch.jit.unused
    def _objectness_loss(
        self, logits: Tensor, targets: Tensor, row_weight: Tensor | None
    ) -> Tensor:
        """Summed over the rows that are not ignored."""
        is_background = (targets == self.num_classes).to(logits.dtype)
        counts = targets >= 0
        # Filled, too: what is not finite has no weight of 0.
        logit = self._background_logit(logits)[:, 0].masked_fill(~counts, 0)
        weight = counts.to(logits.dtype)
        if row_weight is not None:
            weight = weight * row_weight
        return F.binary_cross_entropy_with_logits(
            logit, is_background, weight=weight.to(logits.dtype), reduction="sum"
        )

    def _background_logit(self, logits: Tensor) -> Tensor:
        """d, (R, 1)."""
        return math.sqrt(2.0) * logits[:, self.num_classes :]

    def reset_statistics(self) -> None:
        super().reset_statistics()
        self.class_count.zero_()

    def scores(self, logits: Tensor) -> Tensor:
        logits = in_float32(logits)
        scores = F.softmax(logits[:, : self.num_classes], dim=1)
        if logits.shape[1] > self.num_classes:
            scores = scores * torch.sigmoid(-self._background_logit(logits))
        return scores

    def _load_from_state_dict(self, state_dict, prefix, *args, **kwargs) -> None:
        state_dict.setdefault(f"{prefix}class_count", self.class_count)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def extra_repr(self) -> str:
        return f"num_classes={self.num_classes}, p={self.p}, q={self.q}, eps={self.eps}"

"""Effective class-margin loss (ECCV 2022, arXiv 2301.09724)."""

import torch
from detectron2.config import configurable
from torch import Tensor

from ..exceptions import InputError
from .arguments import Normalizer, PerClass, divided, in_float32, is_number
from .baselines import SigmoidLoss
from .build import EQL_LOSS_REGISTRY
from .functional import weighted_sigmoid_cross_entropy
from .sample_counts import SampleCountLoss


def effective_margins(count: Tensor) -> tuple[Tensor, Tensor]:
    r"""Margin and weight of each column by its samples :math:`n^+` and the others' :math:`n^-`.

    The margin is :math:`\frac{1}{4} \log (n^+ / n^-)`, the weight
    :math:`a \log(1 + 1 / a)` with :math:`a = n^- / n^+`, which is near 1 for all but the columns
    with a large part of all samples.

    Args:
        count: samples of each column, (K,), positive.

    Returns:
        Both (K,), in the dtype of ``count``.
    """
    others = count.sum() - count
    return (count / others).log() / 4, others / count * torch.log1p(count / others)


@EQL_LOSS_REGISTRY.register()
class ECM(SampleCountLoss, SigmoidLoss):
    r"""Sigmoid cross entropy whose boundary between each class and all others follows from counts.

    .. math::
        L = \frac{1}{R} \sum_i \sum_j w_j \, \mathrm{BCE}(2 z_{ij} + m_j, y_{ij})

    with the margins m and weights w of :func:`effective_margins`. At test the score is
    :math:`\sigma(z)`, without the factor and the margin.

    In a box head column C is the background, a class like the others: its samples are
    ``background_ratio`` times those of all classes, and the scores of the classes are multiplied by
    :math:`1 - \sigma(z_C)`. Rows and maps without that column (classification, segmentation) are
    our reconstruction. The bias starts at 0, as in the official code, whose detectors also
    normalise the weights and features of the last layer; here that is the head's, not the loss's.

    Deviation from the official code, whose n are images of each class: n is what
    :func:`eql_d2.data.get_class_count` counts, instances where they are known.

    Args:
        num_classes, class_count: see :class:`SampleCountLoss`.
        background_ratio: samples of the background for one of a class. The default is official,
            measured there in Mask R-CNN.

    Raises:
        InputError: see :class:`SampleCountLoss`; a ratio that is not positive.
    """

    default_prior = None
    has_margins = True

    @configurable
    def __init__(self, num_classes: int, class_count: PerClass, background_ratio: float = 6.3313):
        super().__init__(num_classes, class_count)
        if not is_number(background_ratio) or background_ratio <= 0:
            raise InputError(
                f"background_ratio of ECM is {background_ratio}: it must be positive, give 6.3313"
            )
        self.background_ratio = background_ratio

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
        margin, weight = self._margins_and_weights(logits)
        logits = in_float32(logits)
        shifted = 2 * logits + margin.to(logits.dtype).view([1, -1] + [1] * (logits.dim() - 2))
        sums = weighted_sigmoid_cross_entropy(
            shifted, targets, weight, weight, row_weight=row_weight
        )
        self._accumulate(2 * sums.pos_grad, 2 * sums.neg_grad)  # with respect to z
        return divided(sums.loss, self._normalizer(normalizer, targets, row_weight))

    @torch.jit.unused
    def _margins_and_weights(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        count = self._samples(logits)
        if logits.shape[1] > self.num_classes:
            count = torch.cat([count, self.background_ratio * count.sum()[None]])
        if len(count) == 1:
            raise InputError(
                "ECM compares a class with all others, of which there are none: set "
                "MODEL.EQL.LOSS to SigmoidCE"
            )
        return effective_margins(count)

    def scores(self, logits: Tensor) -> Tensor:
        return self._scores_of_objects(logits)

    def extra_repr(self) -> str:
        return f"num_classes={self.num_classes}, background_ratio={self.background_ratio}"

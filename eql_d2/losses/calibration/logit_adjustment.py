"""Post-hoc logit adjustment (arXiv 2007.07314)."""

import torch
from torch import Tensor

from ..arguments import PerClass
from ..base import ClassificationLoss
from ..baselines import SoftmaxLoss
from ..softmax_eql import gradient_margins, neutral_margin
from .base import CountCalibration, check_strength


class LogitAdjustment(CountCalibration):
    r"""Post-hoc logit adjustment (arXiv 2007.07314): :math:`z_c - \tau \log n_c`.

    For losses with one softmax over all columns.

    The paper is about classification. In a box head the background column gets the margin of
    :func:`neutral_margin` with G = n, our reconstruction: the odds of the background stay as they
    are for the mix of classes of the training data.

    Args:
        num_classes, class_count: see :class:`CountCalibration`.
        tau: strength, 0 or more. 1, the default, divides each probability by the share of its
            class in the training data; 0 changes no bit of a logit.

    Raises:
        InputError: see :class:`CountCalibration`; negative tau.
    """

    losses_in_words = (
        "losses whose scores are one softmax over all columns, in box heads, classification and "
        "segmentation"
    )

    def __init__(self, num_classes: int, class_count: PerClass, tau: float = 1.0):
        super().__init__(num_classes, class_count)
        self.tau = check_strength("tau of LogitAdjustment", tau)

    def _fits(self, loss: ClassificationLoss) -> bool:
        return type(loss).scores is SoftmaxLoss.scores

    def _margins(self, dtype: torch.dtype, num_background: int) -> Tensor:
        count = self.class_count.to(dtype)
        background = neutral_margin(count, self.tau, 1.0).expand(num_background)
        return torch.cat([gradient_margins(count, self.tau, 1.0), background])

    def extra_repr(self) -> str:
        return f"num_classes={self.num_classes}, tau={self.tau}"

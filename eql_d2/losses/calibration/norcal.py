"""Normalized calibration (arXiv 2107.02170)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..arguments import PerClass
from ..base import ClassificationLoss
from ..baselines import SigmoidLoss, SoftmaxLoss
from ..softmax_eql import gradient_margins
from .base import CountCalibration, check_strength


class NorCal(CountCalibration):
    r"""Normalized calibration (arXiv 2107.02170): foreground probabilities over the class count.

    .. math::
        p'_c = \frac{p_c / n_c^\gamma}{\sum_k p_k / n_k^\gamma + p_\mathrm{bg}}

    The background keeps its weight; without one (classification, segmentation) the second term is
    missing. Sigmoids are normalised against their own negation, which is our reading of the paper's
    binary classifiers, not verified:

    .. math::
        p'_c = \frac{p_c / n_c^\gamma}{p_c / n_c^\gamma + 1 - p_c}

    before EQL v2 multiplies by its category-agnostic task. In a box head with the Seesaw loss it is
    not NorCal's formula: the classes are calibrated among themselves and the objectness o, which
    stands beside their softmax, keeps its value (also our reading; without background nothing
    differs):

    .. math::
        p'_c = (1 - o) \frac{p_c / n_c^\gamma}{\sum_k p_k / n_k^\gamma}

    All are the same as subtracting
    :math:`\gamma \log n_c` from the logit of each class, and are computed so: nothing underflows,
    and gamma = 0 changes no bit of a logit.

    The counts are literal, so with a background (or sigmoids) all scores shrink: keep
    ``MODEL.ROI_HEADS.SCORE_THRESH_TEST`` low, as for LVIS (0.0001).

    Deviation from the official code, which takes n from tables of the images of each class: n is
    what :func:`eql_d2.data.get_class_count` counts, instances where they are known.

    Args:
        num_classes, class_count: see :class:`CountCalibration`.
        gamma: strength, 0 or more. The default is ours, a value to begin the search with.

    Raises:
        InputError: see :class:`CountCalibration`; negative gamma.
    """

    losses_in_words = "softmax and sigmoid losses, in box heads, classification and segmentation"

    def __init__(self, num_classes: int, class_count: PerClass, gamma: float = 0.5):
        super().__init__(num_classes, class_count)
        self.gamma = check_strength("gamma of NorCal", gamma)

    def _fits(self, loss: ClassificationLoss) -> bool:
        return isinstance(loss, (SoftmaxLoss, SigmoidLoss))

    def _margins(self, dtype: torch.dtype, num_background: int) -> Tensor:
        count = self.class_count.to(dtype)
        return F.pad(gradient_margins(count, self.gamma, 1.0), (0, num_background))

    def extra_repr(self) -> str:
        return f"num_classes={self.num_classes}, gamma={self.gamma}"

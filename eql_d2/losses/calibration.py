"""Post-hoc calibration: the scores of a trained model, corrected for the sizes of its classes."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from detectron2.config import CfgNode
from torch import Tensor

from ..exceptions import InputError
from .arguments import PerClass, in_float32, is_number, values_per_class
from .base import ClassificationLoss
from .baselines import SigmoidLoss, SoftmaxLoss
from .exact_buffers import ExactBuffers
from .softmax_eql import gradient_margins, neutral_margin


class Calibration(ExactBuffers):
    """What a loss subtracts from its logits at test, by the training samples of each class.

    Nothing of training changes, and nothing is saved: a checkpoint has no keys for it, so any
    checkpoint can be evaluated with it. A yaml config has ``MODEL.EQL.CALIBRATION``, and counts the
    classes of ``DATASETS.TRAIN``; in a LazyConfig ``loss_cls`` is::

        L(calibrate)(
            loss=L(SoftmaxCE)(num_classes=1203),
            calibration=L(NorCal)(
                num_classes=1203,
                class_count=L(get_class_count)(dataset_names="lvis_v1_train"),
                gamma=0.5,
            ),
        )

    Choose the strength (gamma, tau) on the training data, never on those that are reported:
    evaluate a trained model on them for a few values and take the best ::

        train_net.py --config-file ... --eval-only MODEL.WEIGHTS model.pth \\
            DATASETS.TEST "('lvis_v1_train',)" \\
            MODEL.EQL.CALIBRATION.NAME NorCal MODEL.EQL.CALIBRATION.GAMMA 0.4

    Args:
        num_classes: number C of foreground classes.
        class_count: (C,) training samples of each class, whole numbers of 1 or more, or a function
            that returns them (a collective), called by :meth:`prepare`.

    Raises:
        InputError: counts of another length than C; a class without training samples.
    """

    losses_in_words: str

    def __init__(self, num_classes: int, class_count: PerClass):
        super().__init__()
        self.num_classes = num_classes
        self._get_class_count = class_count if callable(class_count) else None
        # Not saved: it describes the data of this run.
        self.register_buffer("class_count", torch.zeros(0, dtype=torch.int64), persistent=False)
        if not callable(class_count):
            self._set_class_count(class_count)

    def prepare(self) -> None:
        """Get the class counts if they are still to be had. With several processes a collective:
        the trainers call it in each, before a training and before an evaluation."""
        if self._get_class_count is not None:
            self._set_class_count(self._get_class_count())
            self._get_class_count = None

    def check_loss(self, loss: ClassificationLoss) -> None:
        """Refuse a loss that cannot be calibrated so.

        Raises:
            InputError: the scores of the loss do not follow from its logits as they should, or are
                those of a dense head, which does not ask its loss; another number of classes.
        """
        name, of_loss = type(self).__name__, type(loss).__name__
        if not self._fits(loss):
            raise InputError(
                f"{name} cannot calibrate {of_loss}: it is for {self.losses_in_words}, in box "
                "heads, classification and segmentation; set MODEL.EQL.CALIBRATION.NAME to another "
                "or to ''"
            )
        if loss.num_classes != self.num_classes:
            raise InputError(
                f"{name} is for {self.num_classes} classes but {of_loss} for {loss.num_classes}: "
                "set both to the number of classes of the data"
            )

    def __call__(self, *args, **kwargs):
        if self._get_class_count is not None:
            raise InputError(
                f"{type(self).__name__} has no class counts yet: call its prepare() before the "
                "first evaluation, as the trainers do"
            )
        return super().__call__(*args, **kwargs)

    def forward(self, logits: Tensor) -> Tensor:
        """Calibrated logits of rows (R, K) or maps (N, K, H, W), float32 (float64 of float64).
        Columns from C on are background; a loss turns the result into scores."""
        logits = in_float32(logits)
        num_background = logits.shape[1] - self.num_classes
        margins = self._margins(self.class_count.to(logits.dtype), num_background)
        return logits - margins.view([1, -1] + [1] * (logits.dim() - 2))

    def _fits(self, loss: ClassificationLoss) -> bool:
        """Whether subtracting the margins has the effect that it should have on the scores."""
        raise NotImplementedError

    def _margins(self, class_count: Tensor, num_background: int) -> Tensor:
        """What is subtracted from each column, (C + num_background,)."""
        raise NotImplementedError

    @torch.jit.unused
    def _set_class_count(self, class_count: Tensor) -> None:
        count = values_per_class(self, "class_count", class_count)
        wrong = ~((count >= 1) & (count == count.round()) & count.isfinite())
        if bool(wrong.any()):
            first = int(wrong.nonzero()[0])
            raise InputError(
                f"class_count of {type(self).__name__} is {count[first]:g} for class {first} "
                f"({int(wrong.sum())} such in all): it must be a whole number of 1 or more, take "
                "such classes out of the data or set MODEL.EQL.CALIBRATION.NAME to ''"
            )
        self.class_count = count.long().to(self.class_count.device)


def _check_strength(name: str, value: float) -> float:
    if not is_number(value) or value < 0:
        raise InputError(f"{name} is {value}: it must not be negative, or frequent classes gain")
    return float(value)


class NorCal(Calibration):
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
        num_classes, class_count: see :class:`Calibration`.
        gamma: strength, 0 or more. The default is ours, a value to begin the search with.

    Raises:
        InputError: see :class:`Calibration`; negative gamma.
    """

    losses_in_words = "softmax and sigmoid losses"

    def __init__(self, num_classes: int, class_count: PerClass, gamma: float = 0.5):
        super().__init__(num_classes, class_count)
        self.gamma = _check_strength("gamma of NorCal", gamma)

    def _fits(self, loss: ClassificationLoss) -> bool:
        return isinstance(loss, (SoftmaxLoss, SigmoidLoss))

    def _margins(self, class_count: Tensor, num_background: int) -> Tensor:
        return F.pad(gradient_margins(class_count, self.gamma, 1.0), (0, num_background))

    def extra_repr(self) -> str:
        return f"num_classes={self.num_classes}, gamma={self.gamma}"


class LogitAdjustment(Calibration):
    r"""Post-hoc logit adjustment (arXiv 2007.07314): :math:`z_c - \tau \log n_c`.

    For losses with one softmax over all columns. A model whose loss had such margins in training
    (Softmax-EQL, balanced softmax) has been adjusted already.

    The paper is about classification. In a box head the background column gets the margin of
    :func:`neutral_margin` with G = n, our reconstruction: the odds of the background stay as they
    are for the mix of classes of the training data.

    Args:
        num_classes, class_count: see :class:`Calibration`.
        tau: strength, 0 or more. 1, the default, divides each probability by the share of its
            class in the training data; 0 changes no bit of a logit.

    Raises:
        InputError: see :class:`Calibration`; negative tau.
    """

    losses_in_words = "losses whose scores are one softmax over all columns"

    def __init__(self, num_classes: int, class_count: PerClass, tau: float = 1.0):
        super().__init__(num_classes, class_count)
        self.tau = _check_strength("tau of LogitAdjustment", tau)

    def _fits(self, loss: ClassificationLoss) -> bool:
        return type(loss).scores is SoftmaxLoss.scores

    def _margins(self, class_count: Tensor, num_background: int) -> Tensor:
        background = neutral_margin(class_count, self.tau, 1.0).expand(num_background)
        return torch.cat([gradient_margins(class_count, self.tau, 1.0), background])

    def extra_repr(self) -> str:
        return f"num_classes={self.num_classes}, tau={self.tau}"


def calibrate(loss: ClassificationLoss, calibration: Calibration) -> ClassificationLoss:
    """Let ``loss`` calibrate its logits at test; returns it.

    Raises:
        InputError: see :meth:`Calibration.check_loss`.
    """
    calibration.check_loss(loss)
    loss.calibration = calibration
    return loss


def build_calibration(
    cfg: CfgNode, num_classes: int, class_count: Callable[[], Tensor]
) -> Calibration:
    """Build the calibration that ``MODEL.EQL.CALIBRATION.NAME`` names.

    Raises:
        InputError: there is none of that name.
    """
    node = cfg.MODEL.EQL.CALIBRATION
    if node.NAME == "NorCal":
        return NorCal(num_classes, class_count, node.GAMMA)
    if node.NAME == "LogitAdjustment":
        return LogitAdjustment(num_classes, class_count, node.TAU)
    raise InputError(
        f"MODEL.EQL.CALIBRATION.NAME is {node.NAME!r}: choose NorCal, LogitAdjustment or ''"
    )

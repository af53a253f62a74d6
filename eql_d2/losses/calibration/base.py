"""What all calibrations share: their data, the losses that they refuse, and the margins."""

import torch
from torch import Tensor

from ...exceptions import InputError
from ..arguments import PerClass, in_float32, is_number, values_per_class
from ..base import ClassificationLoss
from ..exact_buffers import ExactBuffers


class Calibration(ExactBuffers):
    """What a loss subtracts from its logits at test, by what the training data say of each class.

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

    A loss with margins in training has been adjusted already, and is refused.

    Args:
        num_classes: number C of foreground classes.
        **of_data: by the name of a buffer, (C,) values that describe the training data, or a
            function that returns them (a collective), called by :meth:`prepare`.

    Raises:
        InputError: values of another length than C, or that a subclass refuses.
    """

    losses_in_words: str

    def __init__(self, num_classes: int, **of_data: PerClass):
        super().__init__()
        self.num_classes = num_classes
        self._getters = {name: values for name, values in of_data.items() if callable(values)}
        for name, values in of_data.items():
            # Not saved: it describes the data of this run.
            self.register_buffer(name, torch.zeros(0), persistent=False)
            if not callable(values):
                self._set_values(name, values)

    def prepare(self) -> None:
        """Get what is still to be had of the training data. With several processes a collective:
        the trainers call it in each, before a training and before an evaluation."""
        for name, get in self._getters.items():
            self._set_values(name, get())
        self._getters = {}

    def check_loss(self, loss: ClassificationLoss) -> None:
        """Refuse a loss that cannot be calibrated so.

        Raises:
            InputError: the loss has margins in training; its scores do not follow from its logits
                as they should, or are those of a dense head, which does not ask its loss; another
                number of classes.
        """
        name, of_loss = type(self).__name__, type(loss).__name__
        if loss.has_margins:
            raise InputError(
                f"{name} cannot calibrate {of_loss}, whose margins in training have corrected for "
                "the sizes of the classes, which would count twice: set "
                "MODEL.EQL.CALIBRATION.NAME to ''"
            )
        if not self._fits(loss):
            raise InputError(
                f"{name} cannot calibrate {of_loss}: it is for {self.losses_in_words}; set "
                "MODEL.EQL.CALIBRATION.NAME to another or to ''"
            )
        if loss.num_classes != self.num_classes:
            raise InputError(
                f"{name} is for {self.num_classes} classes but {of_loss} for {loss.num_classes}: "
                "set both to the number of classes of the data"
            )

    def __call__(self, *args, **kwargs):
        if self._getters:
            raise InputError(
                f"{type(self).__name__} has no {next(iter(self._getters))} yet: call its prepare() "
                "before the first evaluation, as the trainers do"
            )
        return super().__call__(*args, **kwargs)

    def forward(self, logits: Tensor) -> Tensor:
        """Calibrated logits of rows (R, K) or maps (N, K, H, W), float32 (float64 of float64).
        Columns from C on are background; a loss turns the result into scores."""
        logits = in_float32(logits)
        num_background = logits.shape[1] - self.num_classes
        margins = self._margins(logits.dtype, num_background)
        return logits - margins.view([1, -1] + [1] * (logits.dim() - 2))

    def _fits(self, loss: ClassificationLoss) -> bool:
        """Whether subtracting the margins has the effect that it should have on the scores."""
        raise NotImplementedError

    def _margins(self, dtype: torch.dtype, num_background: int) -> Tensor:
        """What is subtracted from each column, (C + num_background,)."""
        raise NotImplementedError

    def _right(self, name: str, values: Tensor) -> tuple[Tensor, str]:
        """Which of the values (C,) of the data are right, and in words what they must be."""
        raise NotImplementedError

    @torch.jit.unused
    def _set_values(self, name: str, values: Tensor) -> None:
        values = values_per_class(self, name, values)
        right, must = self._right(name, values)
        wrong = ~(right & values.isfinite())
        if bool(wrong.any()):
            first = int(wrong.nonzero()[0])
            raise InputError(
                f"{name} of {type(self).__name__} is {values[first]:g} for class {first} "
                f"({int(wrong.sum())} such in all): it must be {must}, take such classes out of "
                "the data or set MODEL.EQL.CALIBRATION.NAME to ''"
            )
        before = getattr(self, name)
        setattr(self, name, values.to(before.device, before.dtype))


class CountCalibration(Calibration):
    """A calibration by the number of training samples of each class.

    Args:
        num_classes: see :class:`Calibration`.
        class_count: (C,) training samples of each class, whole numbers of 1 or more, or a function
            that returns them.

    Raises:
        InputError: see :class:`Calibration`; a class without training samples.
    """

    def __init__(self, num_classes: int, class_count: PerClass):
        super().__init__(num_classes, class_count=class_count)

    def _right(self, name: str, values: Tensor) -> tuple[Tensor, str]:
        return (values >= 1) & (values == values.round()), "a whole number of 1 or more"


def check_strength(name: str, value: float) -> float:
    """A strength, which must not be negative.

    Raises:
        InputError: it is, or is no number.
    """
    if not is_number(value) or value < 0:
        raise InputError(f"{name} is {value}: it must not be negative, or frequent classes gain")
    return float(value)


def calibrate(loss: ClassificationLoss, calibration: Calibration) -> ClassificationLoss:
    """Let ``loss`` calibrate its logits at test; returns it.

    Raises:
        InputError: see :meth:`Calibration.check_loss`.
    """
    calibration.check_loss(loss)
    loss.calibration = calibration
    return loss

"""Schedules that Detectron2 does not have, as fvcore's ``ParamScheduler``."""

from fvcore.common.param_scheduler import (
    CompositeParamScheduler,
    CosineParamScheduler,
    ParamScheduler,
)

from ..exceptions import InputError


class QuadraticParamScheduler(ParamScheduler):
    """From 0 to a value, with the square of the progress.

    Args:
        end_value: at the end.
    """

    def __init__(self, end_value: float = 1.0):
        self._end_value = end_value

    def __call__(self, where: float) -> float:
        return self._end_value * where**2


class WarmupCosineConstantParamScheduler(CompositeParamScheduler):
    r"""The multiplier of YOLOX: a quadratic warm-up from 0, a cosine, and a constant end.

    With w, c and t the shares of the training of the warm-up, of the end, and of what is over, and
    e the end value:

    .. math::
        (t / w)^2, \qquad e + \tfrac{1 - e}{2} \Bigl(1 + \cos \pi \tfrac{t - w}{1 - w - c}\Bigr),
        \qquad e

    Args:
        end_value: e, as a share of the learning rate; official 0.05.
        warmup_length: w; official 5 / 300.
        constant_length: c; official 15 / 300.

    Raises:
        InputError: warm-up and end are longer than the training.
    """

    def __init__(self, end_value: float, warmup_length: float, constant_length: float):
        if warmup_length + constant_length > 1:
            raise InputError(
                f"warmup_length is {warmup_length} and constant_length {constant_length}: together "
                "they are at most 1, the whole training"
            )
        super().__init__(
            # fvcore's constant refuses the progress 1, for which Detectron2 asks after the last
            # step; a cosine between equal values is the same constant.
            [
                QuadraticParamScheduler(),
                CosineParamScheduler(1.0, end_value),
                CosineParamScheduler(end_value, end_value),
            ],
            [warmup_length, 1 - warmup_length - constant_length, constant_length],
            ["rescaled", "rescaled", "fixed"],
        )

"""Calibrations by name, for ``MODEL.EQL.CALIBRATION``."""

from collections.abc import Callable

from detectron2.config import CfgNode
from torch import Tensor

from ...exceptions import InputError
from .base import Calibration
from .fracal import FRACAL
from .logit_adjustment import LogitAdjustment
from .norcal import NorCal


def build_calibration(
    cfg: CfgNode,
    num_classes: int,
    class_count: Callable[[], Tensor],
    image_frequency: Callable[[], Tensor],
    fractal_dimension: Callable[[], Tensor],
) -> Calibration:
    """Build the calibration that ``MODEL.EQL.CALIBRATION.NAME`` names.

    Args:
        cfg: a yaml config.
        num_classes: C.
        class_count, image_frequency, fractal_dimension: return what one or another needs of the
            training data, (C,).

    Raises:
        InputError: there is none of that name.
    """
    node = cfg.MODEL.EQL.CALIBRATION
    if node.NAME == "NorCal":
        return NorCal(num_classes, class_count, node.GAMMA)
    if node.NAME == "LogitAdjustment":
        return LogitAdjustment(num_classes, class_count, node.TAU)
    if node.NAME == "FRACAL":
        return FRACAL(num_classes, image_frequency, fractal_dimension, node.BETA, node.LAMBDA)
    raise InputError(
        f"MODEL.EQL.CALIBRATION.NAME is {node.NAME!r}: choose NorCal, LogitAdjustment, FRACAL or ''"
    )

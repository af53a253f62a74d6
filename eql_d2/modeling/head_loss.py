"""The loss of a head, for yaml configs."""

from collections.abc import Callable
from functools import partial

from detectron2.config import CfgNode
from torch import Tensor

from ..data import get_class_count, get_fractal_dimension, get_image_frequency
from ..losses import ClassificationLoss, build_calibration, build_loss, calibrate


def build_head_loss(
    cfg: CfgNode,
    num_classes: int,
    get_count: Callable[..., Tensor] = get_class_count,
    get_frequency: Callable[..., Tensor] = get_image_frequency,
) -> ClassificationLoss:
    """Build the loss of ``MODEL.EQL.LOSS``; one that goes by the frequency of the classes counts
    those of ``DATASETS.TRAIN``, before the first step of a training. So does the calibration of
    ``MODEL.EQL.CALIBRATION``, before an evaluation as well.

    Args:
        cfg: of the training.
        num_classes: number C of foreground classes.
        get_count: called with ``DATASETS.TRAIN``, counts the samples of the classes of this head.
        get_frequency: called likewise, share of the images with each of them.
    """
    class_count = partial(get_count, cfg.DATASETS.TRAIN)
    image_frequency = partial(get_frequency, cfg.DATASETS.TRAIN)
    loss = build_loss(cfg, num_classes, image_frequency=image_frequency, class_count=class_count)
    if cfg.MODEL.EQL.CALIBRATION.NAME:
        dimension = partial(get_fractal_dimension, cfg.DATASETS.TRAIN)
        of_data = class_count, image_frequency, dimension
        calibrate(loss, build_calibration(cfg, num_classes, *of_data))
    return loss

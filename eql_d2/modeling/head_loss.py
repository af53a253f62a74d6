"""The loss of a head, for yaml configs."""

from functools import partial

from detectron2.config import CfgNode

from ..data import get_class_count, get_image_frequency
from ..losses import ClassificationLoss, build_calibration, build_loss, calibrate


def build_head_loss(cfg: CfgNode, num_classes: int) -> ClassificationLoss:
    """Build the loss of ``MODEL.EQL.LOSS``; one that goes by the frequency of the classes counts
    those of ``DATASETS.TRAIN``, before the first step of a training. So does the calibration of
    ``MODEL.EQL.CALIBRATION``, before an evaluation as well."""
    class_count = partial(get_class_count, cfg.DATASETS.TRAIN)
    loss = build_loss(
        cfg,
        num_classes,
        image_frequency=partial(get_image_frequency, cfg.DATASETS.TRAIN),
        class_count=class_count,
    )
    if cfg.MODEL.EQL.CALIBRATION.NAME:
        calibrate(loss, build_calibration(cfg, num_classes, class_count))
    return loss

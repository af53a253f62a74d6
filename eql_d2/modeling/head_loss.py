"""The loss of a head, for yaml configs."""

from functools import partial

from detectron2.config import CfgNode

from ..data import get_class_count, get_image_frequency
from ..losses import ClassificationLoss, build_loss


def build_head_loss(cfg: CfgNode, num_classes: int) -> ClassificationLoss:
    """Build the loss of ``MODEL.EQL.LOSS``; one that goes by the frequency of the classes counts
    those of ``DATASETS.TRAIN``, before the first step of a training."""
    training = cfg.DATASETS.TRAIN
    return build_loss(
        cfg,
        num_classes,
        image_frequency=partial(get_image_frequency, training),
        class_count=partial(get_class_count, training),
    )

"""The loss of a head, for yaml configs."""

from functools import partial

from detectron2.config import CfgNode

from ..data import get_image_frequency
from ..losses import ClassificationLoss, build_loss


def build_head_loss(cfg: CfgNode, num_classes: int) -> ClassificationLoss:
    """Build the loss of ``MODEL.EQL.LOSS``; one that goes by image frequency counts those of
    ``DATASETS.TRAIN``, before the first step of a training."""
    return build_loss(cfg, num_classes, partial(get_image_frequency, cfg.DATASETS.TRAIN))

"""Augmentations of a yaml config."""

from collections.abc import Sequence

from detectron2.config import CfgNode
from detectron2.data.transforms import Augmentation, ResizeShortestEdge

from .color import RandomHSV
from .resize import ResizeLongestEdge


def build_augmentation(
    cfg: CfgNode, is_train: bool, augmentations: Sequence[Augmentation]
) -> list[Augmentation]:
    """Those of Detectron2 with what ``INPUT.HSV`` and ``INPUT.LONGEST_EDGE_TRAIN`` add, in the
    order of the YOLOX recipe: colour first, resizing last.

    Args:
        cfg: of Detectron2 and this project.
        is_train: at test they stay as they are.
        augmentations: of Detectron2's mapper.

    Raises:
        InputError: a value is wrong.
    """
    augmentations = list(augmentations)
    if is_train and cfg.INPUT.LONGEST_EDGE_TRAIN:
        augmentations = [x for x in augmentations if not isinstance(x, ResizeShortestEdge)]
        augmentations.append(ResizeLongestEdge(cfg.INPUT.LONGEST_EDGE_TRAIN))
    if is_train and any(cfg.INPUT.HSV):
        augmentations.insert(0, RandomHSV(cfg.INPUT.HSV, cfg.INPUT.FORMAT))
    return augmentations

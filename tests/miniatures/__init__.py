"""Tiny data sets in the layout of the official ones, for ``DETECTRON2_DATASETS``.

Paths, file names, keys, columns and classes are those of the official files, so that a config
finds its data by the names it has; the pictures are rectangles on noise, a handful for each split.
"""

from pathlib import Path

from .ade20k import make_ade20k
from .coco import make_coco
from .image_lists import make_image_lists
from .lvis import make_lvis
from .open_images import make_open_images

MAKERS = (make_coco, make_lvis, make_open_images, make_image_lists, make_ade20k)


def make_miniatures(root: Path) -> None:
    """Write all of them below a folder."""
    for make in MAKERS:
        make(root)

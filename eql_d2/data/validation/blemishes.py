"""Small blemishes of annotation files, which training and evaluation take as Detectron2 does."""

from collections.abc import Sequence

import numpy as np

from .boxes import Boxes
from .categories import leave_out_root
from .columns import Annotations
from .findings import Findings
from .polygons import Polygons, have_unusable, usable_polygons


def take_blemishes(data: dict) -> dict[str, int]:
    """Do in place what the rules warn of: leave out the root category of an export, clip boxes that
    end a little outside of their images, and leave out polygons that are none, boxes of no area,
    and annotations whose mask has only such polygons.

    Args:
        data: content of a file of the form of COCO's; what is wrong in another way is left alone.

    Returns:
        What has been done, and how often.
    """
    root = leave_out_root(data)
    annotations = Annotations.of_file(Findings(), data)
    boxes = Boxes.of_annotations(annotations)
    is_clipped = boxes.is_outside & ~boxes.is_empty
    for i in is_clipped.nonzero()[0]:
        clip(annotations, i)
    with_unusable, without_usable = _leave_out_polygons(annotations)
    is_left_out = boxes.is_empty.copy()
    is_left_out[without_usable] = True
    if is_left_out.any():
        kept = (~is_left_out).nonzero()[0]
        data["annotations"] = [annotations.entries[i] for i in kept]
    return {
        "root category left out": int(root is not None),
        "boxes clipped to their images": int(is_clipped.sum()),
        "masks rid of polygons of less than 3 points": with_unusable,
        "annotations of no area left out": int(boxes.is_empty.sum()),
        "annotations without a usable polygon left out": len(without_usable),
    }


def _leave_out_polygons(annotations: Annotations) -> tuple[int, Sequence[int]]:
    """Of how many masks polygons were left out, and the annotations that have no other."""
    if not have_unusable(annotations.column("segmentation")):
        return 0, []
    polygons = Polygons.of_annotations(annotations)
    owners = np.unique(polygons.owner[polygons.too_short | polygons.is_odd])
    for i in owners:
        annotation = annotations.entries[i]
        annotation["segmentation"] = usable_polygons(annotation["segmentation"])
    return len(owners), polygons.passed_over


def clip(annotations: Annotations, i: int) -> None:
    """Clip the box of annotation `i` to its image."""
    annotation = annotations.entries[i]
    x, y, width, height = annotation["bbox"]
    left, top = max(x, 0), max(y, 0)
    right = min(x + width, int(annotations.width[i]))
    bottom = min(y + height, int(annotations.height[i]))
    annotation["bbox"] = [left, top, right - left, bottom - top]

"""Which polygons of a mask can be used: as in Detectron2, those of three points or more."""

from typing import Any

from .flat import is_number


def is_flat_polygon(mask: Any) -> bool:
    """Whether a mask is one polygon [x, y, ...] that should be in a list of its own."""
    return isinstance(mask, list) and len(mask) > 0 and all(map(is_number, mask))


def usable_polygons(mask: Any) -> Any:
    """A mask without the polygons that Detectron2 and COCO pass over, of less than three points or
    of an odd count of numbers; the mask itself where there are none, or where it is of another
    kind."""
    if not isinstance(mask, list) or not all(isinstance(polygon, list) for polygon in mask):
        return mask
    usable = [polygon for polygon in mask if len(polygon) >= 6 and len(polygon) % 2 == 0]
    return mask if len(usable) == len(mask) else usable

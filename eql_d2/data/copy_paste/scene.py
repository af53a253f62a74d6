"""An image on which objects are pasted, and what is left of those below them."""

import numpy as np
import pycocotools.mask as mask_util
from detectron2.structures import BoxMode

from .cutout import Cutout, box_around, rasterize

# An object of which no more than this share is left in sight is not an object any more.
_LEAST_VISIBLE = 0.1


class Scene:
    """An image with its objects.

    Args:
        image: uint8 (H, W, 3); it is not changed.
        annotations: in Detectron2's standard format, each with a mask. Crowd regions, which
            Detectron2's mapper leaves out, stay as they are.

    Attributes:
        image: with what has been pasted.
    """

    def __init__(self, image: np.ndarray, annotations: list[dict]):
        self.image = image.copy()
        self._objects = [_Object(annotation) for annotation in annotations]

    def paste(self, cutout: Cutout, place: tuple[int, int], category_id: int) -> bool:
        """Put an object on top of all others.

        Args:
            cutout: of it.
            place: of its upper left corner, x and y; it may be beyond the edge.
            category_id: of it.

        Returns:
            Whether enough of it is within the image; otherwise nothing is done.
        """
        (x, y), (height, width) = place, self.image.shape[:2]
        inside = slice(max(-y, 0), max(height - y, 0)), slice(max(-x, 0), max(width - x, 0))
        pixels, shown = cutout.pixels[inside], cutout.mask[inside]
        pasted = _Object.pasted(category_id, int(cutout.mask.sum()))
        if not pasted.is_seen(int(shown.sum())):
            return False
        x, y = max(x, 0), max(y, 0)
        window = slice(y, y + shown.shape[0]), slice(x, x + shown.shape[1])
        self.image[window][shown] = pixels[shown]
        pasted.mask = np.zeros((height, width), bool)
        pasted.mask[window] = shown
        for other in self._objects:
            other.cover(pasted.mask, (x, y, window[1].stop, window[0].stop))
        self._objects.append(pasted)
        return True

    def annotations(self) -> list[dict]:
        """Of the objects that are in sight. Where something lies over one its mask is the rest, as
        run lengths, and its box is around that."""
        left = (x.annotation_left() for x in self._objects)
        return [annotation for annotation in left if annotation is not None]


class _Object:
    """An annotation, and its mask as soon as something lies over it."""

    def __init__(self, annotation: dict):
        self.annotation, self.mask, self.area, self.is_whole = annotation, None, 0, True

    @classmethod
    def pasted(cls, category_id: int, area: int) -> "_Object":
        """One whose mask is still to be set, of so many pixels if nothing is cut."""
        pasted = cls({"category_id": category_id, "iscrowd": 0})
        pasted.area, pasted.is_whole = area, False
        return pasted

    def is_seen(self, visible: int) -> bool:
        """Whether it is still an object with so many pixels left."""
        return visible > _LEAST_VISIBLE * self.area

    def cover(self, above: np.ndarray, box: tuple[int, int, int, int]) -> None:
        """Take away what lies below a mask, bool (H, W), of which nothing is outside a box."""
        if self.annotation.get("iscrowd", 0):
            return
        if self.mask is None:
            if not _touch(_extent(self.annotation["segmentation"]), box):
                return
            self.mask = rasterize(self.annotation["segmentation"], above.shape)
            self.area = int(self.mask.sum())
        covered = self.mask & above
        if covered.any():
            self.mask, self.is_whole = self.mask & ~above, False

    def annotation_left(self) -> dict | None:
        """The annotation of what is left; None if that is too little."""
        if self.is_whole:
            return self.annotation
        if not self.is_seen(int(self.mask.sum())):
            return None
        return {
            **self.annotation,
            "bbox": list(map(float, box_around(self.mask))),
            "bbox_mode": BoxMode.XYXY_ABS,
            "segmentation": mask_util.encode(np.asfortranarray(self.mask, np.uint8)),
        }


def _extent(segmentation: list | dict) -> tuple[float, float, float, float]:
    """XYXY around polygons or run lengths."""
    if isinstance(segmentation, dict):
        x, y, width, height = mask_util.toBbox(segmentation)
        return x, y, x + width, y + height
    points = np.concatenate([np.asarray(p, float).reshape(-1, 2) for p in segmentation])
    return *points.min(axis=0), *points.max(axis=0)


def _touch(one: tuple, other: tuple) -> bool:
    """Whether two boxes, XYXY, share a pixel; one more around them, for polygons are rounded."""
    return (
        one[0] - 1 < other[2]
        and other[0] < one[2] + 1
        and one[1] - 1 < other[3]
        and other[1] < one[3] + 1
    )

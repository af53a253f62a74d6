"""An object cut out of its image."""

from typing import NamedTuple

import numpy as np
import pycocotools.mask as mask_util
from detectron2.data.detection_utils import polygons_to_bitmask
from PIL import Image


class Cutout(NamedTuple):
    """An object without what is around it.

    Attributes:
        pixels: uint8 (h, w, 3).
        mask: bool (h, w), which of them are the object's.
    """

    pixels: np.ndarray
    mask: np.ndarray

    @classmethod
    def of(cls, image: np.ndarray, segmentation: list | dict) -> "Cutout | None":
        """Cut an object out.

        Args:
            image: uint8 (H, W, 3).
            segmentation: of the object, polygons or run lengths.

        Returns:
            None if its mask has no pixel.
        """
        mask = rasterize(segmentation, image.shape[:2])
        if not mask.any():
            return None
        x0, y0, x1, y1 = box_around(mask)
        return cls(image[y0:y1, x0:x1], mask[y0:y1, x0:x1])

    def resize(self, factor: float) -> "Cutout":
        """The object in another size; smooth, and a pixel is its own if at least half of it is."""
        height, width = self.mask.shape
        size = max(1, round(width * factor)), max(1, round(height * factor))
        pixels = Image.fromarray(np.ascontiguousarray(self.pixels))
        mask = Image.fromarray(self.mask.astype(np.uint8) * 255)
        bilinear = Image.Resampling.BILINEAR
        return Cutout(
            np.asarray(pixels.resize(size, bilinear)), np.asarray(mask.resize(size, bilinear)) > 127
        )


def rasterize(segmentation: list | dict, size: tuple[int, int]) -> np.ndarray:
    """Mask of polygons or run lengths, bool (H, W).

    Args:
        segmentation: in Detectron2's standard format.
        size: height and width.
    """
    if isinstance(segmentation, dict):
        return mask_util.decode(segmentation).astype(bool)
    return polygons_to_bitmask(segmentation, *size)


def box_around(mask: np.ndarray) -> tuple[int, int, int, int]:
    """XYXY, the smallest box around the pixels, at least one, of a mask, bool (H, W)."""
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1

"""The rules for boxes, and where a box that ends a little outside of its image is clipped."""

from typing import NamedTuple

import numpy as np

from .columns import Annotations
from .flat import flatten

# Annotation tools round: a box may end this many pixels outside of its image without a word, and
# this share of the image with a warning; further out it is mostly [x, y, x, y].
_BOX_TOLERANCE = 1.0
_CLIPPED_SHARE = 0.05
# Of an image: shares are rounded, too.
_LARGEST_SHARE = 1.05
_FORMAT = "the format is [x, y, width, height]"


class Boxes(NamedTuple):
    """The boxes of a file by column.

    Attributes:
        values: float64 (N, 4), x, y, width, height; nan for what is no box.
        are_boxes: bool (N,), four numbers.
        are_sound: bool (N,), finite and of no negative size.
        is_outside: bool (N,), sound, and clipped in training: ends a little outside of the image.
        is_far: bool (N,), sound, and further outside.
        is_empty: bool (N,), sound, and of no area, as they are or where they are clipped.
    """

    values: np.ndarray
    are_boxes: np.ndarray
    are_sound: np.ndarray
    is_outside: np.ndarray
    is_far: np.ndarray
    is_empty: np.ndarray

    @classmethod
    def of_annotations(cls, annotations: Annotations) -> "Boxes":
        flat = flatten(annotations.column("bbox"))
        are_boxes = flat.are_numbers & (flat.lengths == 4)
        values = np.full((len(are_boxes), 4), np.nan)
        values[are_boxes] = flat.values[np.repeat(are_boxes, flat.lengths)].reshape(-1, 4)
        low, size = values[:, :2], values[:, 2:]
        image_size = np.stack([annotations.width, annotations.height], axis=1)
        with np.errstate(over="ignore", invalid="ignore"):
            are_sound = np.isfinite(values).all(axis=1) & (size >= 0).all(axis=1)
            outside = np.maximum(-low, low + size - image_size)
            allowed = np.maximum(_BOX_TOLERANCE, _CLIPPED_SHARE * image_size)
            is_far = are_sound & (outside > allowed).any(axis=1)
            is_outside = are_sound & ~is_far & (outside > _BOX_TOLERANCE).any(axis=1)
            inside = np.minimum(low + size, image_size) - np.maximum(low, 0)
            is_flat = (size == 0) | (inside <= 0)  # of an unknown image inside is nan
        is_empty = are_sound & ~is_far & is_flat.any(axis=1)
        return cls(values, are_boxes, are_sound, is_outside, is_far, is_empty)

    def are_corners(self, annotations: Annotations) -> bool:
        """Whether all boxes of the file fit [x, y, x, y], and some do not fit their images."""
        x, y, right, bottom = self.values[self.are_sound].T
        width, height = annotations.width[self.are_sound], annotations.height[self.are_sound]
        return bool(
            self.is_far.any()
            and (np.minimum(right - x, bottom - y) >= 0).all()
            and not (np.maximum(right - width, bottom - height) > _BOX_TOLERANCE).any()
        )

    def are_shares(self, annotations: Annotations) -> np.ndarray:
        """bool (N,): all with an area, if all of them are in 0 to 1 in images that are larger."""
        with_area = self.are_sound & (self.values[:, 2:] > 0).all(axis=1)
        fit = (np.abs(self.values) <= _LARGEST_SHARE).all(axis=1)
        # Nothing else is in a corner of one pixel in all images.
        is_small = np.maximum(annotations.width, annotations.height) <= 2 * _LARGEST_SHARE
        return with_area & bool((fit & ~is_small)[with_area].all())


def check_boxes(annotations: Annotations) -> None:
    """Check the boxes of a file."""
    boxes = Boxes.of_annotations(annotations)
    annotations.error(
        "boxes that are not four numbers",
        "it must be [x, y, width, height] (validate --write takes absent ones from the masks)",
        ~boxes.are_boxes,
        lambda i: annotations.says("bbox", i),
    )
    are_finite = np.isfinite(boxes.values).all(axis=1)
    annotations.error(
        "boxes with nan or infinity",
        "mend or remove it",
        boxes.are_boxes & ~are_finite,
        lambda i: annotations.says("bbox", i) + ", which is not finite",
    )
    annotations.error(
        "boxes of negative size",
        f"mend or remove it ({_FORMAT})",
        are_finite & ~boxes.are_sound,
        lambda i: annotations.says("bbox", i) + " of negative size",
    )
    _check_places(annotations, boxes)


def _check_places(annotations: Annotations, boxes: Boxes) -> None:
    def says(i: int) -> str:
        return f"{annotations.says('bbox', i)}, outside of its image of {annotations.image_size(i)}"

    are_shares = boxes.are_shares(annotations)
    annotations.error(
        "boxes that are shares of their images",
        "the numbers of all boxes are 0 to 1: give pixels, each share times the width or height",
        are_shares,
        lambda i: annotations.says("bbox", i),
    )
    annotations.error(
        "boxes outside of their images",
        f"{_FORMAT}, and all boxes of the file fit [x, y, x, y]: give width and height"
        if boxes.are_corners(annotations)
        else f"clip it, as validate --write does, or remove it ({_FORMAT})",
        boxes.is_far,
        says,
    )
    annotations.warning(
        "boxes a little outside of their images",
        "it is clipped, as Detectron2 does; validate --write clips it in the file",
        boxes.is_outside & ~boxes.is_empty,
        says,
    )
    is_all = len(boxes.is_empty) > 0 and boxes.is_empty.all()
    (annotations.error if is_all else annotations.warning)(
        "boxes of zero area",
        f"no box of the file has one ({_FORMAT})"
        if is_all
        else "it is passed over in training and evaluation; validate --write mends or removes it",
        boxes.is_empty,
        lambda i: (
            says(i) if boxes.values[i, 2:].all() else annotations.says("bbox", i) + " of zero area"
        ),
    )

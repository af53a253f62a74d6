"""The nesting of a mask's polygons, and which of them can be used: as in Detectron2, those of three
points or more."""

import itertools
from typing import Any, NamedTuple

import numpy as np

from .columns import Annotations
from .flat import FlatLists, flatten, is_number


class Polygons(NamedTuple):
    """The P polygons of the N annotations of a file.

    Attributes:
        flat: P lists.
        owner: int64 (P,), index of the annotation.
        other_nesting: int64, indices of annotations, see :func:`nested`; their polygons are not
            among the P.
        too_short, is_odd: bool (P,), lists of numbers that are no polygon.
        passed_over: int64, indices of annotations that have polygons but none that can be used,
            and are left out, as Detectron2 does, where most others have a mask.
    """

    flat: FlatLists
    owner: np.ndarray
    other_nesting: np.ndarray
    too_short: np.ndarray
    is_odd: np.ndarray
    passed_over: np.ndarray

    @classmethod
    def of_annotations(cls, annotations: Annotations) -> "Polygons":
        masks = annotations.column("segmentation")
        types = list(map(type, masks))
        indices = np.array([i for i, type_ in enumerate(types) if type_ is list], dtype=np.int64)
        flat, owner = _flatten(masks, indices)
        strange = np.unique(owner[~flat.are_numbers | (flat.lengths == 2)]).tolist()
        other = [i for i in strange if nested(masks[i]) is not masks[i]]
        if other:
            flat, owner = _flatten(masks, np.setdiff1d(indices, other))
        too_short = flat.are_numbers & (flat.lengths < 6)
        is_odd = flat.are_numbers & ~too_short & (flat.lengths % 2 == 1)
        has_usable = np.zeros(len(masks), dtype=bool)
        has_usable[owner[~too_short & ~is_odd]] = True
        is_broken = np.zeros(len(masks), dtype=bool)
        is_broken[owner[flat.lengths > 0]] = True
        is_broken &= ~has_usable
        is_rare = is_broken.sum() < has_usable.sum() + types.count(dict)
        passed_over = np.flatnonzero(is_broken & is_rare)
        return cls(flat, owner, np.array(other, np.int64), too_short, is_odd, passed_over)


def _flatten(masks: list, indices: np.ndarray) -> tuple[FlatLists, np.ndarray]:
    """The polygons of some masks, and the mask of each."""
    counts = np.fromiter((len(masks[i]) for i in indices), np.int64, len(indices))
    chained = itertools.chain.from_iterable(masks[i] for i in indices)
    return flatten(list(chained)), np.repeat(indices, counts)


def nested(mask: Any) -> Any:
    """A mask as COCO's list of polygons [[x, y, ...], ...].

    Args:
        mask: of an annotation; [x, y, ...] is one polygon, and so are points [[x, y], ...].

    Returns:
        The mask itself where it is in this form, or in one that is not known.
    """
    if not isinstance(mask, list) or not mask:
        return mask
    if all(map(is_number, mask)):
        return [mask]
    if len(mask) > 2 and all(map(_is_point, mask)):
        return [list(itertools.chain.from_iterable(mask))]
    if all(isinstance(part, list) and part and all(map(_is_point, part)) for part in mask):
        return [list(itertools.chain.from_iterable(part)) for part in mask]
    return mask


def have_unusable(masks: list) -> bool:
    """Whether a mask has polygons that :func:`usable_polygons` leaves out; a quick look."""
    polygons = itertools.chain.from_iterable(mask for mask in masks if type(mask) is list)
    lengths = set(map(len, (polygon for polygon in polygons if type(polygon) is list)))
    return any(length < 6 or length % 2 for length in lengths)


def usable_polygons(mask: Any) -> Any:
    """A mask without the polygons that Detectron2 and COCO pass over, of less than three points or
    of an odd count of numbers; the mask itself where there are none, or where it is of another
    kind."""
    if not isinstance(mask, list) or not all(isinstance(polygon, list) for polygon in mask):
        return mask
    usable = [polygon for polygon in mask if len(polygon) >= 6 and len(polygon) % 2 == 0]
    return mask if len(usable) == len(mask) else usable


def _is_point(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(is_number, value))

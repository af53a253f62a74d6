"""The rules for masks: polygons and run lengths."""

import itertools

import numpy as np

from ...messages import shown
from .columns import Annotations
from .flat import flatten, is_integer
from .polygons import is_flat_polygon
from .rle import read_counts

_TYPES = frozenset({list, dict, type(None)})


def check_polygons(annotations: Annotations, is_lvis: bool) -> None:
    """Check masks that are lists, and that there are no other kinds.

    Points may lie outside of the image, as where tiles are cut from a larger one, but by no more
    than its size: pycocotools fills memory by the length of the outline, and dies of 1e9.
    """
    masks = annotations.column("segmentation")
    types = list(map(type, masks))
    annotations.error(
        "masks that are neither polygons nor run lengths",
        "it must be a list of polygons [[x, y, x, y, ...], ...] or {'size', 'counts'}",
        [i for i, type_ in enumerate(types) if type_ not in _TYPES] if set(types) - _TYPES else [],
        lambda i: annotations.says("segmentation", i),
    )
    indices = np.array([i for i, type_ in enumerate(types) if type_ is list], dtype=np.int64)
    is_flat = np.fromiter((is_flat_polygon(masks[i]) for i in indices), bool, len(indices))
    annotations.error(
        "polygons that are not in a list of their own",
        "a mask is a list of polygons, [[x, y, ...]] (validate --write puts it into one)",
        indices[is_flat],
        lambda i: annotations.says("segmentation", i),
    )
    indices = indices[~is_flat]
    counts = np.fromiter((len(masks[i]) for i in indices), np.int64, len(indices))
    owner = np.repeat(indices, counts)
    flat = flatten(list(itertools.chain.from_iterable(masks[i] for i in indices)))
    annotations.error(
        "polygons that are no list of numbers",
        "each polygon must be [x, y, x, y, ...]",
        owner[~flat.are_numbers],
        lambda i: annotations.says("segmentation", i),
    )
    too_short, is_odd = flat.lengths < 6, flat.lengths % 2 == 1
    # The engines of LVIS's evaluation read the file themselves, and stop at such a polygon.
    report = annotations.error if is_lvis else annotations.warning
    report(
        "polygons of less than 3 points",
        "mend or remove it" if is_lvis else "it is passed over; validate --write removes it",
        owner[flat.are_numbers & too_short],
        lambda i: "has a polygon of less than 3 points",
    )
    report(
        "polygons of an odd count of numbers",
        "each point is x, y: mend or remove it; Detectron2 passes it over",
        owner[flat.are_numbers & ~too_short & is_odd],
        lambda i: "has a polygon of an odd count of numbers",
    )
    are_points = flat.are_numbers & ~too_short & ~is_odd
    owner, lengths = owner[are_points], flat.lengths[are_points]
    points = flat.values[np.repeat(are_points, flat.lengths)].reshape(-1, 2)
    if not len(points):
        return
    starts = (np.cumsum(lengths) - lengths) // 2
    low, high = np.minimum.reduceat(points, starts), np.maximum.reduceat(points, starts)
    are_finite = np.isfinite(low + high).all(axis=1)
    annotations.error(
        "polygons with nan or infinity",
        "mend or remove it",
        owner[~are_finite],
        lambda i: "has a polygon with a coordinate that is not finite",
    )
    size = np.stack([annotations.width[owner], annotations.height[owner]], axis=1)
    annotations.error(
        "polygons far outside of their images",
        "its points are x, y in pixels: mend or remove it",
        owner[are_finite & ((low < -size) | (high > 2 * size)).any(axis=1)],
        lambda i: (
            f"has a polygon further outside of its image of {annotations.image_size(i)} than "
            "the image is large"
        ),
    )


def check_run_lengths(annotations: Annotations) -> None:
    """Check masks that are dicts, without decoding them."""
    masks = annotations.column("segmentation")
    indices = np.array([i for i, mask in enumerate(masks) if type(mask) is dict], dtype=np.int64)
    sizes = [masks[i].get("size") for i in indices]
    has_size = [
        type(size) is list and len(size) == 2 and all(map(is_integer, size)) for size in sizes
    ]
    known = [size if good else (np.nan, np.nan) for size, good in zip(sizes, has_size)]
    height, width = np.array(known, dtype=np.float64).reshape(-1, 2).T
    own = np.stack([annotations.height[indices], annotations.width[indices]])
    is_other = ~((height == own[0]) & (width == own[1])) & np.isfinite(own).all(axis=0)
    annotations.error(
        "run-length encoded masks of another size than their images",
        "the size of a mask is [height, width] of the image",
        indices[is_other],
        lambda i: (
            f"has a mask of size {shown(masks[i].get('size'))} in an image of "
            f"{annotations.image_size(i)}"
        ),
    )
    runs = read_counts([masks[i].get("counts") for i in indices])
    annotations.error(
        "run-length encoded masks that cannot be read",
        "its counts must be those of COCO and add up to height x width: encode it again",
        indices[~(runs.is_valid & (is_other | (runs.num_pixels == height * width)))],
        lambda i: f"has a mask with counts {shown(masks[i].get('counts'))}",
    )

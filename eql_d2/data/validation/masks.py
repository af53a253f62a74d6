"""The rules for masks: polygons and run lengths."""

import numpy as np

from ...messages import shown
from .columns import Annotations
from .flat import is_integer
from .polygons import Polygons
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
    polygons = Polygons.of_annotations(annotations)
    flat, owner = polygons.flat, polygons.owner
    annotations.error(
        "polygons that are not in a list of their own",
        "a mask is a list of polygons, [[x, y, ...]] (validate --write puts it into one)",
        polygons.other_nesting,
        lambda i: annotations.says("segmentation", i),
    )
    annotations.error(
        "polygons that are no list of numbers",
        "each polygon must be [x, y, x, y, ...]",
        owner[~flat.are_numbers],
        lambda i: annotations.says("segmentation", i),
    )
    # Detectron2 refuses such polygons in LVIS format, and the engines of its evaluation do.
    report = annotations.error if is_lvis else annotations.warning
    rest = np.full(len(owner), True) if is_lvis else ~np.isin(owner, polygons.passed_over)
    fix = "validate --write removes it" if is_lvis else "it is passed over; --write removes it"
    report(
        "polygons of less than 3 points",
        fix,
        owner[rest & polygons.too_short],
        lambda i: "has a polygon of less than 3 points",
    )
    report(
        "polygons of an odd count of numbers",
        f"each point is x, y: {fix}",
        owner[rest & polygons.is_odd],
        lambda i: "has a polygon of an odd count of numbers",
    )
    annotations.warning(
        "masks without a usable polygon",
        "the annotation is passed over, as by Detectron2; mend its mask, or --write removes it",
        [] if is_lvis else polygons.passed_over,
        lambda i: annotations.says("segmentation", i),
    )
    _check_points(annotations, polygons)


def _check_points(annotations: Annotations, polygons: Polygons) -> None:
    flat = polygons.flat
    are_points = flat.are_numbers & ~polygons.too_short & ~polygons.is_odd
    owner, lengths = polygons.owner[are_points], flat.lengths[are_points]
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
    in_corner = (low >= -0.05) & (high <= 1.05)  # shares are rounded
    annotations.error(
        "polygons that are shares of their images",
        "the numbers of all polygons are 0 to 1: give pixels, each share times the width or height",
        owner if (in_corner & ~(size <= 2)).all() else [],
        lambda i: annotations.says("segmentation", i),
    )
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

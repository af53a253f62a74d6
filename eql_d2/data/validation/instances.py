"""The rules for annotations: boxes, keypoints and the fields that COCO's evaluation needs."""

from typing import Any

import numpy as np

from .columns import Annotations
from .findings import Findings
from .flat import flatten, numbers
from .masks import check_polygons, check_run_lengths

# Annotation tools round: a box may end this many pixels outside of its image without a word, and
# this share of the image with a warning; further out it is mostly [x, y, x, y].
_BOX_TOLERANCE = 1.0
_CLIPPED_SHARE = 0.05
_NONE: list = []  # one for all: a million new ones set off the garbage collector
_FLAG_TYPES = frozenset({int, float, bool, type(None)})


def check_instances(findings: Findings, data: dict, is_lvis: bool) -> None:
    """Check the annotations of a parsed file whose images and categories are checked.

    Args:
        findings: what is wrong is added to it.
        data: content of the file.
        is_lvis: whether it is in LVIS format, which has no `iscrowd`.
    """
    annotations = Annotations.of_file(findings, data)
    _check_boxes(annotations, is_lvis)
    check_polygons(annotations, is_lvis)
    check_run_lengths(annotations)
    _check_keypoints(annotations)
    _check_flags(annotations, is_lvis)
    _check_areas(annotations)


def _check_boxes(annotations: Annotations, is_lvis: bool) -> None:
    flat = flatten(annotations.column("bbox"))
    are_boxes = flat.are_numbers & (flat.lengths == 4)
    boxes = np.full((len(are_boxes), 4), np.nan)
    boxes[are_boxes] = flat.values[np.repeat(are_boxes, flat.lengths)].reshape(-1, 4)
    annotations.error(
        "boxes that are not four numbers",
        "it must be [x, y, width, height] (validate --write takes absent ones from the polygons)",
        ~are_boxes,
        lambda i: annotations.says("bbox", i),
    )
    are_finite = np.isfinite(boxes).all(axis=1)
    annotations.error(
        "boxes with nan or infinity",
        "mend or remove it",
        are_boxes & ~are_finite,
        lambda i: annotations.says("bbox", i) + ", which is not finite",
    )
    x, y, width, height = boxes.T
    are_negative = are_finite & (np.minimum(width, height) < 0)
    annotations.error(
        "boxes of negative size",
        "mend or remove it (the format is [x, y, width, height])",
        are_negative,
        lambda i: annotations.says("bbox", i) + " of negative size",
    )
    # The engines of LVIS's evaluation read the file themselves.
    (annotations.error if is_lvis else annotations.warning)(
        "boxes of zero area",
        "mend or remove it" if is_lvis else "it is passed over in training; validate --write mends",
        are_finite & ~are_negative & (np.minimum(width, height) == 0),
        lambda i: annotations.says("bbox", i) + " of zero area",
    )
    _check_places(annotations, boxes, are_finite & ~are_negative)


def _check_places(annotations: Annotations, boxes: np.ndarray, are_boxes: np.ndarray) -> None:
    x, y, width, height = boxes.T
    image_width, image_height = annotations.width, annotations.height
    with np.errstate(over="ignore", invalid="ignore"):
        right, bottom = x + width, y + height
        outside = np.stack([-x, -y, right - image_width, bottom - image_height])
        allowed = np.maximum(_BOX_TOLERANCE, _CLIPPED_SHARE * np.stack([image_width, image_height]))
        is_outside = are_boxes & (outside > _BOX_TOLERANCE).any(axis=0)
        is_far = are_boxes & (outside > np.tile(allowed, (2, 1))).any(axis=0)
        shares = are_boxes & (np.maximum(right, bottom) <= 1) & (image_width * image_height > 1)
        shares &= (width > 0) & (height > 0)

    def says(i: int) -> str:
        return f"{annotations.says('bbox', i)}, outside of its image of {annotations.image_size(i)}"

    fix = "clip it (the format is [x, y, width, height])"
    annotations.error("boxes outside of their images", fix, is_far, says)
    fix = "it is clipped, as Detectron2 does; validate --write clips it in the file"
    annotations.warning("boxes a little outside of their images", fix, is_outside & ~is_far, says)
    annotations.error(
        "boxes that are shares of their images",
        "all boxes end within 0 to 1: give pixels, each share times the width or height",
        shares if len(shares) and shares.all() else [],
        lambda i: annotations.says("bbox", i),
    )


def _check_keypoints(annotations: Annotations) -> None:
    keypoints = annotations.column("keypoints")
    if not any(keypoints):
        return
    flat = flatten([value or _NONE for value in keypoints])
    bad = ~flat.are_numbers | (flat.lengths % 3 > 0) | flat.where_any(~np.isfinite(flat.values))
    annotations.error(
        "keypoints that are not x, y, visibility",
        "it must be a list of three finite numbers for each point",
        bad,
        lambda i: annotations.says("keypoints", i),
    )


def _check_flags(annotations: Annotations, is_lvis: bool) -> None:
    crowds = _flags(annotations, "iscrowd", "give 0, or 1 for a region with many objects")
    ignored = _flags(annotations, "ignore", "give 0, or 1 for an object that shall not count")
    annotations.warning(
        "annotations to be ignored",
        "it is not trained on and not counted, and detections of it count neither way",
        [i for i, value in enumerate(ignored) if value == 1],
        lambda i: annotations.says("ignore", i),
    )
    if is_lvis:
        annotations.warning(
            "crowd regions in LVIS's format, which has none",
            "it is not trained on and not counted, but the evaluation takes it for an object",
            [i for i, value in enumerate(crowds) if value == 1],
            lambda i: annotations.says("iscrowd", i),
        )
        return
    annotations.warning(
        "annotations without iscrowd",
        "0 is taken; validate --write fills it",
        [i for i, value in enumerate(crowds) if value is None],
        lambda i: "has no iscrowd",
    )


def _flags(annotations: Annotations, key: str, fix: str) -> list:
    """Values of a flag; those that are none are errors."""
    flags = annotations.column(key)
    annotations.error(
        f"annotations whose {key} is neither 0 nor 1",
        fix,
        [] if _are_flags(flags) else [i for i, value in enumerate(flags) if not _is_flag(value)],
        lambda i: annotations.says(key, i),
    )
    return flags


def _check_areas(annotations: Annotations) -> None:
    areas = annotations.column("area")
    values = numbers(areas)
    is_known = np.fromiter((value is not None for value in areas), bool, len(areas))
    annotations.error(
        "annotations whose area is no number of pixels",
        "give the pixels of the mask or box, or leave it out (it is filled then)",
        is_known & ~((values >= 0) & np.isfinite(values)),
        lambda i: annotations.says("area", i),
    )
    annotations.warning(
        "annotations without area",
        "the evaluation takes that of the mask or box; validate --write fills it",
        ~is_known,
        lambda i: "has no area",
    )


def _are_flags(values: list) -> bool:
    """Whether :func:`_is_flag` holds of all, in a fraction of its time."""
    return _FLAG_TYPES.issuperset(map(type, values)) and {None, 0, 1}.issuperset(values)


def _is_flag(value: Any) -> bool:
    return type(value) in _FLAG_TYPES and value in (None, 0, 1)

"""The rules for annotations: boxes, keypoints and the fields that COCO's evaluation needs."""

from typing import Any

import numpy as np

from .boxes import check_boxes
from .columns import Annotations
from .findings import Findings
from .flat import flatten, numbers
from .masks import check_polygons, check_run_lengths

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
    check_boxes(annotations)
    check_polygons(annotations, is_lvis)
    check_run_lengths(annotations)
    _check_keypoints(annotations)
    _check_flags(annotations, is_lvis)
    _check_areas(annotations)


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

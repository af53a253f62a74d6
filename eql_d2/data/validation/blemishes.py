"""Small blemishes of annotation files that have one remedy: for ``validate --write``."""

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from ...exceptions import InputError
from ..image_files import read_header
from .flat import are_integers, is_number
from .limits import Limits, leads_outside
from .listed_images import find_file, has_size, usable_url
from .polygons import is_flat_polygon, usable_polygons


def mend_blemishes(data: dict, image_root: str, limits: Limits) -> list[str]:
    """Mend ids of annotations, names and sizes of images, boxes and polygons, in place.

    Args:
        data: content of a file of the form of COCO's.
        image_root, limits: see :func:`read_annotations`.

    Returns:
        What has been done, a line each.
    """
    images, annotations = data["images"], data["annotations"]
    counts = {
        "unusable urls removed": _count(_remove_url, images),
        "file names with \\ given /": _count(_use_slashes, images),
        "sizes of images read from their files": _count(
            lambda image: _read_size(image, image_root, limits), images
        ),
        "polygons put into a list of their own": _count(_wrap_polygon, annotations),
        "masks rid of polygons of less than 3 points": _count(_drop_polygons, annotations),
        "boxes taken from polygons": _count(_box_of_polygons, annotations),
    }
    sizes = {i.get("id"): (i["width"], i["height"]) for i in images if has_size(i)}
    counts["boxes clipped to their images"] = _count(
        lambda annotation: _clip_box(annotation, sizes.get(annotation.get("image_id"))), annotations
    )
    with_area = [a for a in annotations if not _has_no_area(a.get("bbox"))]
    counts["annotations without an area left out"] = len(annotations) - len(with_area)
    data["annotations"] = with_area
    ids = [annotation.get("id") for annotation in with_area]
    if not are_integers(ids) or len(set(ids)) < len(ids):
        for number, annotation in enumerate(with_area, 1):
            annotation["id"] = number
        counts["annotations numbered anew"] = len(with_area)
    return [f"{count:,} {what}" for what, count in counts.items() if count]


def _count(mend: Callable[[dict], bool], entries: list[dict]) -> int:
    """Call a function with each entry; how many it has changed."""
    return sum(bool(mend(entry)) for entry in entries)


def _remove_url(image: dict) -> bool:
    if "coco_url" not in image or usable_url(image) or not image.get("file_name"):
        return False
    del image["coco_url"]
    return True


def _use_slashes(image: dict) -> bool:
    name = image.get("file_name")
    if not isinstance(name, str) or "\\" not in name:
        return False
    image["file_name"] = name.replace("\\", "/")
    return True


def _read_size(image: dict, image_root: str, limits: Limits) -> bool:
    name = image.get("file_name")
    is_absent = image.get("width") is None or image.get("height") is None
    if not (is_absent and isinstance(name, str) and name):
        return False
    if leads_outside(image_root, name) and not limits.allow_outside_paths:
        return False
    path = find_file(image, image_root)
    if not os.path.isfile(path):
        return False
    try:
        header = read_header(path)
    except InputError:
        return False
    image["width"], image["height"] = header.width, header.height
    return True


def _wrap_polygon(annotation: dict) -> bool:
    if not is_flat_polygon(annotation.get("segmentation")):
        return False
    annotation["segmentation"] = [annotation["segmentation"]]
    return True


def _drop_polygons(annotation: dict) -> bool:
    mask = annotation.get("segmentation")
    usable = usable_polygons(mask)
    if usable is mask:
        return False
    annotation["segmentation"] = usable
    return True


def _box_of_polygons(annotation: dict) -> bool:
    box, mask = annotation.get("bbox"), annotation.get("segmentation")
    if not (box in (None, []) or _has_no_area(box)) or not isinstance(mask, list) or not mask:
        return False
    points = np.array([number for polygon in mask for number in polygon], dtype=float)
    low, high = points.reshape(-1, 2).min(axis=0), points.reshape(-1, 2).max(axis=0)
    if not (np.isfinite(high - low).all() and (high > low).all()):
        return False
    annotation["bbox"] = [*low.tolist(), *(high - low).tolist()]
    return True


def _clip_box(annotation: dict, size: tuple[int, int] | None) -> bool:
    box = annotation.get("bbox")
    if size is None or not _is_box(box):
        return False
    x, y, width, height = box
    right, bottom = min(x + width, size[0]), min(y + height, size[1])
    left, top = max(x, 0), max(y, 0)
    if (left, top) == (x, y) and right >= x + width and bottom >= y + height:
        return False
    annotation["bbox"] = [left, top, max(right - left, 0), max(bottom - top, 0)]
    return True


def _has_no_area(box: Any) -> bool:
    return _is_box(box) and min(box[2:]) == 0


def _is_box(box: Any) -> bool:
    return isinstance(box, list) and len(box) == 4 and all(map(is_number, box))

"""What has one remedy in an annotation file: for ``validate --write``."""

import os
from collections.abc import Callable

import numpy as np
import pycocotools.mask as mask_util

from ...exceptions import InputError
from ..image_files import read_header
from .blemishes import clip, take_blemishes
from .boxes import Boxes
from .columns import Annotations
from .findings import Findings
from .flat import are_integers, is_integer, is_number
from .limits import Limits, leads_outside
from .listed_images import find_file, has_size, usable_url
from .polygons import nested
from .rle import read_counts


def mend(data: dict, image_root: str, limits: Limits) -> list[str]:
    """Mend names and sizes of images, boxes, polygons and the ids of annotations, in place.

    Args:
        data: content of a file of the form of COCO's.
        image_root, limits: see :func:`read_annotations`.

    Returns:
        What has been done, a line each.
    """
    images = data["images"]
    counts = {
        "unusable urls removed": _count(_remove_url, images),
        "file names with \\ given /": _count(lambda i: _use_slashes(i, image_root), images),
        "sizes of images read from their files": _count(
            lambda image: _read_size(image, image_root, limits), images
        ),
        "masks put into a list of polygons": _count(_nest_polygons, data["annotations"]),
        "boxes taken from masks": _count(_box_of_mask, data["annotations"]),
    }
    annotations = Annotations.of_file(Findings(), data)
    boxes = Boxes.of_annotations(annotations)
    # Boxes of another convention are none to be clipped.
    if not boxes.are_corners(annotations) and not boxes.are_shares(annotations).any():
        is_cut = boxes.is_far & ~boxes.is_empty
        for i in is_cut.nonzero()[0]:
            clip(annotations, i)
        taken = take_blemishes(data)
        taken["boxes clipped to their images"] += int(is_cut.sum())
        counts |= taken
    ids = [annotation.get("id") for annotation in data["annotations"]]
    if not are_integers(ids) or len(set(ids)) < len(ids):
        for number, annotation in enumerate(data["annotations"], 1):
            annotation["id"] = number
        counts["annotations numbered anew"] = len(ids)
    return [f"{count:,} {what}" for what, count in counts.items() if count]


def _count(mend: Callable[[dict], bool], entries: list[dict]) -> int:
    """Call a function with each entry; how many it has changed."""
    return sum(bool(mend(entry)) for entry in entries)


def _remove_url(image: dict) -> bool:
    if "coco_url" not in image or usable_url(image) or not image.get("file_name"):
        return False
    del image["coco_url"]
    return True


def _use_slashes(image: dict, image_root: str) -> bool:
    name = image.get("file_name")
    if not isinstance(name, str) or "\\" not in name:
        return False
    if os.path.isfile(os.path.join(image_root, name)):  # as of an archive that was unpacked here
        return False
    image["file_name"] = name.replace("\\", "/")
    return True


def _read_size(image: dict, image_root: str, limits: Limits) -> bool:
    name = image.get("file_name")
    if has_size(image) or not isinstance(name, str) or not name:
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


def _nest_polygons(annotation: dict) -> bool:
    mask = annotation.get("segmentation")
    as_list = nested(mask)
    if as_list is mask:
        return False
    annotation["segmentation"] = as_list
    return True


def _box_of_mask(annotation: dict) -> bool:
    """Give the box of its mask to an annotation without a box, or with one of no area."""
    box, mask = annotation.get("bbox"), annotation.get("segmentation")
    is_box = isinstance(box, list) and len(box) == 4 and all(map(is_number, box))
    if not mask or not (box is None or box == [] or (is_box and min(box[2:]) <= 0)):
        return False
    try:
        x, y, width, height = _box_of_run_lengths(mask) if isinstance(mask, dict) else _hull(mask)
    except (TypeError, ValueError, KeyError, OverflowError):  # of a mask that the rules name
        return False
    if not (np.isfinite([x, y, width, height]).all() and min(width, height) > 0):
        return False
    annotation["bbox"] = [x, y, width, height]
    return True


def _hull(polygons: list[list[float]]) -> list[float]:
    """The box of polygons; a ValueError where there are none."""
    points = np.concatenate([np.array(p, dtype=float).reshape(-1, 2) for p in polygons if p])
    low, high = points.min(axis=0), points.max(axis=0)
    return [*low.tolist(), *(high - low).tolist()]


def _box_of_run_lengths(mask: dict) -> list[float]:
    """The box of a mask; a ValueError where it cannot be read."""
    height, width = mask["size"]
    runs = read_counts([mask["counts"]])
    is_whole = is_integer(height) and is_integer(width) and height > 0
    if not (is_whole and runs.is_valid[0] and runs.num_pixels[0] == height * width):
        raise ValueError("run lengths of another size")
    if isinstance(mask["counts"], list):
        mask = mask_util.frPyObjects(mask, height, width)
    return mask_util.toBbox(mask).tolist()

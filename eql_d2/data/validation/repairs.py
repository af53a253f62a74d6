"""Repairs of annotation files that lose nothing: what Detectron2 or COCO would take anyway."""

import re
from collections.abc import Iterable
from typing import Any

import pycocotools.mask as mask_util

from .flat import is_integer
from .listed_images import FEDERATED_LISTS, VERIFIED_LIST, is_federated

_INTEGER = re.compile(r"\s*[+-]?[0-9]{1,18}\s*")


def make_integers(data: dict) -> list[str]:
    """Make integers of ids, sizes and flags that are given as text or as 7.0, in place, and empty
    lists of what LVIS's images lack.

    Args:
        data: content of a file of the form of COCO's.

    Returns:
        What has been done, a line each.
    """
    done = []
    for entries, key, references in (
        ("images", "id", [("annotations", "image_id")]),
        ("categories", "id", [("annotations", "category_id")]),
        ("annotations", "id", []),
    ):
        ids = [entry.get(key) for entry in data[entries]]
        # Nothing that is told apart now may be one thing afterwards.
        if len(set(map(repr, map(_as_integer, ids)))) == len(set(map(repr, ids))):
            done += [(entries, key), *references]
    done += [("images", "width"), ("images", "height"), ("annotations", "iscrowd")]
    counts = [(_replace(data[entries], key), f"{key} of {entries}") for entries, key in done]
    if ("categories", "id") in done:
        for key in (*FEDERATED_LISTS, VERIFIED_LIST):
            counts.append((_replace_in_lists(data["images"], key), f"{key} of images"))
    lines = [f"{count:,} {what} made integers" for count, what in counts if count]
    for entries, reference in (("images", "image_id"), ("categories", "category_id")):
        if count := _number_texts(data, entries, reference):
            lines.append(f"{count:,} ids of {entries} given as text numbered")
    return lines + _fill_lists(data["images"])


def fill_absent_fields(
    annotations: Iterable[dict], images: Iterable[dict], *, with_crowd: bool = True
) -> dict[str, int]:
    """Fill `iscrowd` and `area` where they are absent or null, in place, as COCO defines them: 0,
    and the pixels of the mask, or of the box where there is no mask.

    Args:
        annotations, images: of a file without errors but for annotations of unknown images.
        with_crowd: fill `iscrowd`, which LVIS does not have.

    Returns:
        How many of each have been filled.
    """
    sizes = {image["id"]: (image.get("height"), image.get("width")) for image in images}
    filled = {"iscrowd": 0, "area": 0}
    for annotation in annotations:
        if annotation["image_id"] not in sizes:
            continue  # no evaluation sees it
        if with_crowd and annotation.get("iscrowd") is None:
            annotation["iscrowd"] = 0
            filled["iscrowd"] += 1
        if annotation.get("area") is None:
            annotation["area"] = _area(annotation, *sizes[annotation["image_id"]])
            filled["area"] += 1
    return filled


def _area(annotation: dict, height: int, width: int) -> float:
    mask = annotation.get("segmentation")
    if not mask:
        return annotation["bbox"][2] * annotation["bbox"][3]
    if isinstance(mask, list) or isinstance(mask["counts"], list):
        mask = mask_util.frPyObjects(mask, height, width)
    return float(mask_util.area(mask_util.merge(mask) if isinstance(mask, list) else mask))


def _number_texts(data: dict, entries: str, reference: str) -> int:
    """Number ids that are texts, such as names of files, and what refers to them; how many."""
    ids = [entry.get("id") for entry in data[entries]]
    texts = [value for value in ids if isinstance(value, str)]
    # Nothing that may be one thing becomes two: "2" beside 2
    if not texts or len(set(map(repr, map(_as_integer, ids)))) < len(ids):
        return 0
    first = max(filter(is_integer, ids), default=0) + 1
    number_of = {text: number for number, text in enumerate(texts, first)}

    def number(value: Any) -> Any:
        return number_of.get(value, value) if isinstance(value, str) else value

    for list_, key in ((data[entries], "id"), (data["annotations"], reference)):
        for entry in list_:
            if key in entry:
                entry[key] = number(entry[key])
    if entries == "categories":
        for image in data["images"]:
            for key in (*FEDERATED_LISTS, VERIFIED_LIST):
                if isinstance(image.get(key), list):
                    image[key] = list(map(number, image[key]))
    return len(texts)


def _fill_lists(images: list[dict]) -> list[str]:
    count = 0
    wanted = FEDERATED_LISTS if is_federated(images) else ()
    for image in images:
        for key in (*FEDERATED_LISTS, VERIFIED_LIST):
            if image.get(key) is None and (key in image or key in wanted):
                image[key] = []
                count += 1
    return [f"{count:,} absent lists of category ids made empty lists"] if count else []


def _replace(entries: list[dict], key: str) -> int:
    """Make integers of a key, and return of how many."""
    count = 0
    for entry in entries:
        value = entry.get(key)
        if value is not None and not is_integer(value) and is_integer(_as_integer(value)):
            entry[key] = _as_integer(value)
            count += 1
    return count


def _replace_in_lists(images: list[dict], key: str) -> int:
    count = 0
    for image in images:
        values = image.get(key)
        if isinstance(values, list) and values != (integers := list(map(_as_integer, values))):
            image[key] = integers
            count += 1
    return count


def _as_integer(value: Any) -> Any:
    """The integer that a value stands for, or the value."""
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        return int(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value

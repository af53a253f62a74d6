"""Ground truth in LVIS format: checked before the first image, and made safe for every engine."""

import contextlib
import dataclasses
import json
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator

from detectron2.utils.file_io import PathManager

from ...data import fill_absent_fields
from ...data.validation.blemishes import take_blemishes
from ...exceptions import InputError
from ...files import read_ground_truth_json

_NEEDED_KEYS = {
    "images": ("id", "neg_category_ids", "not_exhaustive_category_ids"),
    "categories": ("id",),
    "annotations": ("id", "image_id", "category_id", "bbox"),
}
_COPIED_KEYS = {
    "images": (*_NEEDED_KEYS["images"], "height", "width"),
    "annotations": (*_NEEDED_KEYS["annotations"], "area", "segmentation"),
}
# The largest area range, of COCO and LVIS, ends at 1e5 ** 2: an annotation beyond it is ignored in
# all of them.
AREA_OUTSIDE_ALL_RANGES = 1e11


@dataclasses.dataclass(frozen=True)
class GroundTruth:
    """What the evaluator itself needs to know of a ground truth file.

    Attributes:
        json_file: local path of the file.
        categories: the file's categories, sorted by id as in the arrays of every engine.
        image_ids: ids of all images.
        num_annotations: 0 for a test set.
        instance_count: by category id, annotations that count in the evaluation.
        is_clean: whether every engine reads the file as lvis-api does. If not, evaluate with
            `clean_file`.
    """

    json_file: str
    categories: list[dict]
    image_ids: frozenset[int]
    num_annotations: int
    instance_count: Counter[int]
    is_clean: bool


def read_ground_truth(json_file: str) -> GroundTruth:
    """Read and check an annotation file in LVIS v0.5 or v1 format.

    Segmentations are dropped while the file is being parsed: they are most of its memory.

    Raises:
        InputError: the file is missing, truncated, or not in LVIS format.
    """
    path = PathManager.get_local_path(os.fspath(json_file))
    dataset = read_ground_truth_json(path, _without_segmentation)
    _check_keys(path, dataset)
    has_blemishes = any(take_blemishes(dataset).values())
    annotations = dataset["annotations"]
    has_ids = len({a["id"] for a in annotations}) == len(annotations)
    categories = {category["id"]: category for category in dataset["categories"]}
    image_ids = frozenset(image["id"] for image in dataset["images"])
    # That of the box here, where it only counts whether it is positive
    filled = fill_absent_fields(annotations, dataset["images"], with_crowd=False)["area"]
    seen = [a for a in annotations if _is_seen(a, image_ids, categories)]
    return GroundTruth(
        json_file=path,
        categories=[categories[category_id] for category_id in sorted(categories)],
        image_ids=image_ids,
        num_annotations=len(annotations),
        instance_count=Counter(a["category_id"] for a in seen if not a.get("ignore")),
        is_clean=has_ids
        and not has_blemishes
        and not filled
        and len(seen) == len(annotations)
        and all(_is_clean(a) for a in annotations),
    )


@contextlib.contextmanager
def clean_file(
    ground_truth: GroundTruth, reads: Callable[[str], bool], directory: str
) -> Iterator[str]:
    """A file for which every engine gives the numbers that lvis-api gives for the ground truth.

    That is the file itself, if it is clean and the engine `reads` it, or a copy in `directory` that
    is removed in the end and has only what the evaluation needs.

    LVIS itself has none of this, files converted from other formats may:

    - small blemishes are taken as in training, see :func:`take_blemishes`;
    - `area` is filled where it is absent or null, with the pixels of the mask or of the box;
    - annotations of area 0, or of an unknown image or category, are left out: lvis-api never sees
      them;
    - `iscrowd` is left out: lvis-api does not know it;
    - `ignore` is left out and the annotation's area set beyond all ranges, so that it is ignored
      by the rule all engines share;
    - ids are 1, 2, 3 and so on. This one corrects lvis-api, which takes a match with id 0 for no
      match, and of several annotations with one id the last for all.
    """
    if ground_truth.is_clean and reads(ground_truth.json_file):
        yield ground_truth.json_file
        return
    dataset = read_ground_truth_json(ground_truth.json_file)
    take_blemishes(dataset)
    fill_absent_fields(dataset["annotations"], dataset["images"], with_crowd=False)
    category_ids = {category["id"] for category in ground_truth.categories}
    annotations = []
    for annotation in dataset["annotations"]:
        if _is_seen(annotation, ground_truth.image_ids, category_ids):
            if annotation.get("ignore"):
                annotation["area"] = AREA_OUTSIDE_ALL_RANGES
            annotations.append({**annotation, "id": len(annotations) + 1})
    dataset["annotations"] = annotations
    needed = {
        name: [{key: item[key] for key in keys if key in item} for item in dataset[name]]
        for name, keys in _COPIED_KEYS.items()
    }
    # hotcoco says so if one has no name
    needed["categories"] = [{"id": c["id"], "name": str(c["id"])} for c in dataset["categories"]]
    with tempfile.NamedTemporaryFile("w", dir=directory, suffix=".json", encoding="utf-8") as file:
        # In one piece: json.dump() writes through the slower encoder that is not compiled.
        file.write(json.dumps(needed))
        file.flush()
        del dataset, annotations, needed
        yield file.name


def _without_segmentation(item: dict) -> dict:
    item.pop("segmentation", None)
    return item


def _check_keys(path: str, dataset: dict) -> None:
    if not dataset["annotations"]:
        return  # a test set: nothing will be evaluated
    for name, keys in _NEEDED_KEYS.items():
        for item in dataset[name]:
            for key in keys:
                if key not in item:
                    raise InputError(
                        f"{path}: entry {item.get('id')} of '{name}' has no '{key}', which LVIS "
                        "format needs; for COCO format set the data set's evaluator_type to 'coco'"
                    )


def _is_seen(annotation: dict, image_ids, category_ids) -> bool:
    """Whether lvis-api takes note of the annotation."""
    return (
        0 < (annotation.get("area") or 0) < float("inf")
        and annotation["category_id"] in category_ids
        and annotation["image_id"] in image_ids
    )


def _is_clean(annotation: dict) -> bool:
    is_numbered = type(annotation["id"]) is int and annotation["id"] > 0
    return is_numbered and not annotation.get("iscrowd") and not annotation.get("ignore")

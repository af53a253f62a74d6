"""Ground truth of Open Images: boxes, verified classes and the hierarchy."""

import dataclasses
import os
from collections import Counter
from collections.abc import Mapping, Sequence, Set

import numpy as np

from ...data.validation.blemishes import take_blemishes
from ...exceptions import InputError
from ...files import read_ground_truth_json
from .matching import LabelledBoxes


@dataclasses.dataclass(frozen=True)
class OpenImagesTruth:
    """A file of ``eql_d2.data.datasets.open_images``, or any in COCO format.

    Attributes:
        json_file: path of the file.
        categories: sorted by id; here their index is the class.
        image_index: place of each image id in the sorted ids.
        boxes: of the ground truth, M with those that the expansion adds.
        is_group_of: bool (M,).
        instance_count: by category id, boxes that are annotated, group-of or not.
        verified: bool (images, C), classes to be evaluated in each image; None means all.
        is_subclass: bool (C, C), [i, j] if j is i or an ancestor of i; None without a hierarchy.
    """

    json_file: str
    categories: list[dict]
    image_index: dict[int, int]
    boxes: LabelledBoxes
    is_group_of: np.ndarray
    instance_count: Counter[int]
    verified: np.ndarray | None
    is_subclass: np.ndarray | None

    @property
    def image_ids(self) -> Set[int]:
        return self.image_index.keys()


def read_open_images(
    json_file: str | os.PathLike, expand: bool | None, needs_hierarchy: bool | None
) -> OpenImagesTruth:
    """Read the annotations.

    Args:
        json_file: in COCO format; `is_group_of` of an annotation is its `iscrowd` if not given.
        expand: give each box and each positive label to the ancestors of its class too, and each
            negative label to the descendants. A box that an ancestor has already is not doubled,
            so that a file which was expanded before stays as it is. None expands if there is a
            hierarchy.
        needs_hierarchy: refuse a file without one.

    Raises:
        InputError: the file is missing or in another format, or has no hierarchy to expand by.
    """
    path = os.fspath(json_file)
    data = read_ground_truth_json(path)
    take_blemishes(data)
    categories = sorted(data["categories"], key=lambda category: category["id"])
    class_of = {category["id"]: index for index, category in enumerate(categories)}
    image_index = {i: n for n, i in enumerate(sorted(image["id"] for image in data["images"]))}
    is_subclass = None
    if data.get("hierarchy"):
        is_subclass = _subclasses(data["hierarchy"], class_of)
    elif needs_hierarchy:
        raise InputError(
            f"annotations {path} have no 'hierarchy' to expand by: "
            "convert them with --hierarchy challenge-2019-label500-hierarchy.json"
        )
    expansion = is_subclass if expand is not False else None
    try:
        boxes, is_group_of = _boxes(data["annotations"], class_of, image_index, expansion)
        verified = _verified(data["images"], class_of, image_index, expansion)
    except KeyError as error:
        raise InputError(
            f"annotations {path} have {error} missing or not among the ids of the file: "
            "convert them with eql_d2.data.datasets.open_images"
        ) from error
    if verified is not None:
        verified[boxes.image, boxes.category] = True
    return OpenImagesTruth(
        json_file=path,
        categories=categories,
        image_index=image_index,
        boxes=boxes,
        is_group_of=is_group_of,
        instance_count=Counter(a["category_id"] for a in data["annotations"]),
        verified=verified,
        is_subclass=is_subclass,
    )


def expand_classes(
    classes: np.ndarray, is_subclass: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Repeat each class for itself and its ancestors.

    Args:
        classes: int64 (N,).
        is_subclass: see :class:`OpenImagesTruth`; None repeats nothing.

    Returns:
        Indices into `classes`, rising, and the class for each.
    """
    if is_subclass is None:
        return np.arange(len(classes)), classes
    return np.nonzero(is_subclass[classes])


def _subclasses(hierarchy: Mapping[str, Sequence[int]], class_of: Mapping[int, int]) -> np.ndarray:
    is_subclass = np.eye(len(class_of), dtype=np.float32)
    for parent, children in hierarchy.items():
        for child in children:
            if int(parent) not in class_of or child not in class_of:
                raise InputError(
                    f"the hierarchy has {parent} above {child}: not both are categories"
                )
            is_subclass[class_of[child], class_of[int(parent)]] = 1
    while True:  # each round doubles the length of the paths
        longer = np.minimum(is_subclass @ is_subclass, 1)
        if np.array_equal(longer, is_subclass):
            return is_subclass > 0
        is_subclass = longer


def _boxes(
    annotations: Sequence[Mapping],
    class_of: Mapping[int, int],
    image_index: Mapping[int, int],
    expansion: np.ndarray | None,
) -> tuple[LabelledBoxes, np.ndarray]:
    """The boxes, and which of them are group-of."""
    image = np.array([image_index[a["image_id"]] for a in annotations], dtype=np.int64)
    category = np.array([class_of[a["category_id"]] for a in annotations], dtype=np.int64)
    is_group_of = np.array(
        [bool(a.get("is_group_of", a.get("iscrowd", 0))) for a in annotations], dtype=bool
    )
    corners = np.array([a["bbox"] for a in annotations], dtype=np.float64).reshape(-1, 4)
    corners[:, 2:] += corners[:, :2]
    source, category = expand_classes(category, expansion)
    boxes, is_group_of = (
        LabelledBoxes(image[source], category, corners[source]),
        is_group_of[source],
    )
    if expansion is not None:
        rows = np.column_stack([boxes.image, category, is_group_of, boxes.corners])
        once = np.sort(np.unique(rows, axis=0, return_index=True)[1])
        boxes, is_group_of = boxes.take(once), is_group_of[once]
    return boxes, is_group_of


def _verified(
    images: Sequence[Mapping],
    class_of: Mapping[int, int],
    image_index: Mapping[int, int],
    expansion: np.ndarray | None,
) -> np.ndarray | None:
    """Classes verified by labels, bool (images, C); None if no image has labels."""
    if not any("pos_category_ids" in image or "neg_category_ids" in image for image in images):
        return None
    verified = np.zeros((len(images), len(class_of)), dtype=bool)
    down = None if expansion is None else expansion.T
    for key, direction in (("pos_category_ids", expansion), ("neg_category_ids", down)):
        labels = [
            (image_index[image["id"]], class_of[category_id])
            for image in images
            for category_id in image.get(key, ())
        ]
        index, classes = np.array(labels, dtype=np.int64).reshape(-1, 2).T
        source, classes = expand_classes(classes, direction)
        verified[index[source], classes] = True
    return verified

"""How often each category occurs in the training data: counted, never a table in code."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from torch import Tensor

from ..exceptions import InputError


class CategoryFrequency(NamedTuple):
    """Counts over one or several data sets, by contiguous class index.

    Attributes:
        image_count: int64 (C,), images that contain each class.
        instance_count: int64 (C,), instances of each class.
        num_images: number of images with at least one instance.
    """

    image_count: np.ndarray
    instance_count: np.ndarray
    num_images: int


def count_categories(dataset_dicts: Sequence[dict], num_classes: int) -> CategoryFrequency:
    """Count the categories of data in Detectron2's standard format; crowd regions do not count."""
    image_count = np.zeros(num_classes, dtype=np.int64)
    instance_count = np.zeros(num_classes, dtype=np.int64)
    num_images = 0
    for record in dataset_dicts:
        classes = [
            annotation["category_id"]
            for annotation in record["annotations"]
            if not annotation.get("iscrowd", 0)
        ]
        np.add.at(instance_count, classes, 1)
        image_count[np.unique(np.asarray(classes, dtype=np.int64))] += 1
        num_images += bool(classes)
    return CategoryFrequency(image_count, instance_count, num_images)


def get_image_frequency(dataset_names: str | Sequence[str]) -> Tensor:
    """Share of the annotated images that contain each class, the f of EQL.

    Args:
        dataset_names: one or several registered data sets, counted together.

    Returns:
        float64 (C,), values in [0, 1].

    Raises:
        InputError: no data set given, or none has an annotated image.
    """
    names = _as_names(dataset_names)
    records = [record for name in names for record in DatasetCatalog.get(name)]
    counts = count_categories(records, len(MetadataCatalog.get(names[0]).thing_classes))
    if counts.num_images == 0:
        raise InputError(
            f"data sets {', '.join(names)} have no annotated image: "
            "image frequencies need the training annotations"
        )
    return torch.as_tensor(counts.image_count / counts.num_images)


def get_image_count(dataset_names: str | Sequence[str]) -> np.ndarray:
    """Number of images that contain each class, int64 (C,).

    Taken from the metadata ``class_image_count`` (Detectron2 has it for LVIS v1, and our own-data
    registration sets it). A data set without it is counted once, and the counts are put there.
    """
    names = _as_names(dataset_names)
    total = 0
    for name in names:
        metadata = MetadataCatalog.get(name)
        if metadata.get("class_image_count") is None:
            records = DatasetCatalog.get(name)
            counts = count_categories(records, len(metadata.thing_classes))
            metadata.class_image_count = [
                {"id": i, "image_count": int(images), "instance_count": int(instances)}
                for i, (images, instances) in enumerate(
                    zip(counts.image_count, counts.instance_count), start=1
                )
            ]
        by_id = sorted(metadata.class_image_count, key=lambda category: category["id"])
        total = total + np.array([c["image_count"] for c in by_id], dtype=np.int64)
    return total


def frequency_groups(
    image_count: Sequence[int], thresholds: tuple[int, int] = (10, 100)
) -> list[str]:
    """Group classes as LVIS does: ``"r"`` rare, ``"c"`` common, ``"f"`` frequent.

    Args:
        image_count: training images of each class, (C,).
        thresholds: most images of a rare and of a common class; LVIS: 10 and 100.

    Raises:
        InputError: the thresholds do not rise.
    """
    rare, common = thresholds
    if not 0 <= rare < common:
        raise InputError(
            f"frequency thresholds are {tuple(thresholds)}: give the most images of a rare and "
            "of a common class, rising, for example (10, 100)"
        )
    return ["r" if count <= rare else "c" if count <= common else "f" for count in image_count]


def _as_names(dataset_names: str | Sequence[str]) -> list[str]:
    names = [dataset_names] if isinstance(dataset_names, str) else list(dataset_names)
    if not names:
        raise InputError("no training data set is named: set DATASETS.TRAIN")
    return names

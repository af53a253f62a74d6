"""Results by how often a category occurs in the training images: rare, common, frequent."""

import json
import math
import os
from collections.abc import Mapping, Sequence

import numpy as np

from ..exceptions import InputError
from .prediction_files import open_atomic

GROUPS = ("r", "c", "f")


def groups_of_categories(
    categories: Sequence[Mapping],
    category_groups: Sequence[str] | None,
    dataset_ids: Mapping[int, int],
) -> list[str | None]:
    """Group of each category: "r", "c", "f", or None where it is not known.

    Args:
        categories: of the ground truth file.
        category_groups: for each contiguous class; None takes the categories' own `frequency`.
        dataset_ids: category id of each contiguous class.

    Raises:
        InputError: a group has another name, or there is not one group for each class.
    """
    if category_groups is None:
        groups = (category.get("frequency") for category in categories)
        return [group if group in GROUPS else None for group in groups]
    unknown = [group for group in category_groups if group not in GROUPS]
    if unknown:
        raise InputError(f"category_groups has {unknown[0]!r}: each class is 'r', 'c' or 'f'")
    if len(category_groups) != len(dataset_ids):
        raise InputError(
            f"category_groups has {len(category_groups)} entries for {len(dataset_ids)} classes: "
            "give one for each class of the data set, in the order of the contiguous ids"
        )
    by_id = {dataset_ids[index]: group for index, group in enumerate(category_groups)}
    return [by_id.get(category["id"]) for category in categories]


def group_indices(groups: Sequence[str | None]) -> dict[str, list[int]]:
    """Where each of the three groups stands in `groups`; the list of an absent one is empty."""
    return {name: [i for i, group in enumerate(groups) if group == name] for name in GROUPS}


def mean_known(values: np.ndarray) -> float:
    """Mean of what is not nan; nan if nothing is left."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else math.nan


def mean_precision(precision: np.ndarray) -> float:
    """Mean over the entries of the array that can be computed (those above -1), times 100.

    Every category fills its (IoU threshold, recall) cells with numbers or with -1 altogether, so
    over several categories this is also the mean of their average precisions.

    Returns:
        A percentage; nan where nothing can be computed, for example without ground truth.
    """
    valid = precision[precision > -1]
    return float(np.mean(valid) * 100) if valid.size else math.nan


def average_precision_by_category(precision: np.ndarray) -> list[float]:
    """AP in percent of each category; nan for a category without ground truth.

    Args:
        precision: shape (IoU thresholds, recalls, categories), -1 where not computable.
    """
    return [mean_precision(precision[:, :, index]) for index in range(precision.shape[2])]


def image_count_by_id(
    categories: Sequence[Mapping],
    metadata,
    image_count: Sequence[int] | None,
    dataset_ids: Mapping[int, int],
) -> dict[int, int]:
    """Training images with each category, by the data set's category id, where known.

    Args:
        categories: of the ground truth file; their own `image_count` is the second choice.
        metadata: of the data set; `class_image_count`, a list of ``{"id": category id,
            "image_count": number of training images}``, is the last choice.
        image_count: for each contiguous class, the first choice.
        dataset_ids: category id of each contiguous class.
    """
    if image_count is not None:
        return {dataset_ids[index]: int(count) for index, count in enumerate(image_count)}
    entries = [*metadata.get("class_image_count", ()), *categories]
    return {entry["id"]: entry["image_count"] for entry in entries if "image_count" in entry}


def write_category_table(
    path: str | os.PathLike,
    categories: Sequence[Mapping],
    groups: Sequence[str | None],
    average_precision: Sequence[float],
    *,
    image_count: Mapping[int, int],
    instance_count: Mapping[int, int],
) -> None:
    """Write one JSON record per category: id, name, group, image_count, instance_count, AP.

    Args:
        path: the file; it appears complete or not at all.
        categories: the ground truth's, in the order of `groups` and `average_precision`.
        groups: "r", "c", "f" or None (unknown).
        average_precision: percentages; nan becomes null.
        image_count: training images by category id; a category that is missing gets no such key.
        instance_count: annotations of the evaluated data set by category id; missing means 0.
    """
    records = []
    for category, group, ap in zip(categories, groups, average_precision, strict=True):
        record = {"id": category["id"], "name": category.get("name"), "group": group}
        if category["id"] in image_count:
            record["image_count"] = image_count[category["id"]]
        record["instance_count"] = instance_count.get(category["id"], 0)
        record["AP"] = None if math.isnan(ap) else ap
        records.append(record)
    with open_atomic(path) as file:
        json.dump(records, file, indent=1)

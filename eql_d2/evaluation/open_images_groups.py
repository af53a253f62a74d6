"""Five groups of classes by how often they occur in the training data."""

import logging
import math
from collections.abc import Mapping, Sequence

import numpy as np

from ..exceptions import InputError
from .open_images_ground_truth import OpenImagesTruth

logger = logging.getLogger(__name__)

NUM_GROUPS = 5


def groups_by_instances(
    truth: OpenImagesTruth, instance_count: Sequence[int] | None, dataset_ids: Mapping[int, int]
) -> np.ndarray | None:
    """Group of each of the ground truth's categories, see :func:`frequency_quantiles`.

    Args:
        truth: the ground truth; its categories' own `instance_count` is the second choice.
        instance_count: training instances of each contiguous class, the first choice.
        dataset_ids: category id of each contiguous class.

    Returns:
        int64 (C,), or None without counts.

    Raises:
        InputError: there is not one count for each class.
    """
    categories = truth.categories
    if instance_count is None:
        if not all("instance_count" in category for category in categories):
            return None
        logger.info(
            f"The groups are by instance_count in {truth.json_file}: "
            "for those of the training data pass instance_count"
        )
        return frequency_quantiles([category["instance_count"] for category in categories])
    if len(instance_count) != len(categories):
        raise InputError(
            f"instance_count has {len(instance_count)} entries for {len(categories)} classes: "
            "give one for each class of the data set, in the order of the contiguous ids"
        )
    by_id = {dataset_ids[index]: count for index, count in enumerate(instance_count)}
    return frequency_quantiles([by_id[category["id"]] for category in categories])


def frequency_quantiles(instance_count: Sequence[int]) -> np.ndarray:
    """Group of each class, int64 (C,), from 1 (rarest) to 5: equal parts by rising counts.

    Of equal counts the earlier class comes first; if C is no multiple of 5, the first groups have
    one class more.
    """
    groups = np.empty(len(instance_count), dtype=np.int64)
    order = np.argsort(instance_count, kind="stable")
    for group, classes in enumerate(np.array_split(order, NUM_GROUPS), start=1):
        groups[classes] = group
    return groups


def mean_known(values: np.ndarray) -> float:
    """Mean of the values that are not nan; nan without any."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else math.nan

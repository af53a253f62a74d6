"""The categories of evaluated data, in the order of the results, and what is said of them."""

import dataclasses
import math
import os
from collections.abc import Mapping, Sequence

import numpy as np

from ..data import CategoryTable
from ..data.category_groups import QUANTILES
from ..exceptions import InputError
from ..files import write_json

_FREQUENCIES = ("r", "c", "f")


@dataclasses.dataclass(frozen=True)
class EvaluatedCategories:
    """Categories in the order of an evaluator's results.

    Attributes:
        ids: category ids of the evaluated data.
        names: None where the data have none.
        groups: a key of ``GROUP_NAMES``, or None where it is not known.
        image_count: training images, or None where they are not known.
        rule: how the groups were made, for people; None without groups.
        thresholds: of the rule, see :class:`CategoryGroups`.
    """

    ids: list[int]
    names: list[str | None]
    groups: list[str | None]
    image_count: list[int | None]
    rule: str | None = None
    thresholds: tuple[float, ...] = ()

    @classmethod
    def of_classes(
        cls, names: Sequence[str], training: CategoryTable | None
    ) -> "EvaluatedCategories":
        """Contiguous classes as they are, grouped by the training data.

        Raises:
            InputError: the training data have another number of classes.
        """
        categories = [{"id": index, "name": name} for index, name in enumerate(names)]
        return cls.of_file(categories, dict(enumerate(range(len(names)))), training)

    @classmethod
    def of_file(
        cls,
        categories: Sequence[Mapping],
        dataset_ids: Mapping[int, int],
        training: CategoryTable | None,
        class_image_count: Sequence[Mapping] = (),
    ) -> "EvaluatedCategories":
        """Categories of an annotation file.

        Args:
            categories: of the file; without training data their own `frequency` and `image_count`
                are taken.
            dataset_ids: category id of each contiguous class.
            training: by contiguous class.
            class_image_count: of the metadata, where the categories have no counts.

        Raises:
            InputError: the training data have another number of classes.
        """
        ids = [category["id"] for category in categories]
        names = [category.get("name") for category in categories]
        if training is None:
            groups = [category.get("frequency") for category in categories]
            groups = [group if group in _FREQUENCIES else None for group in groups]
            known = {entry["id"]: entry["image_count"] for entry in class_image_count}
            counts = [c.get("image_count", known.get(c["id"])) for c in categories]
            rule = "frequency of the categories in the annotation file" if any(groups) else None
            return cls(ids, names, groups, counts, rule)
        if len(training) != len(dataset_ids):
            raise InputError(
                f"the training data have {len(training)} categories for {len(dataset_ids)} classes "
                "of the evaluated data: name the data that the model was trained on"
            )
        by_id = {dataset_ids[index]: row for index, row in enumerate(training.rows())}
        rows = [by_id.get(category_id, {}) for category_id in ids]
        groups, counts = ([row.get(key) for row in rows] for key in ("group", "image_count"))
        return cls(ids, names, groups, counts, training.groups.rule, training.groups.thresholds)

    def members(self) -> dict[str, list[int]]:
        """Where each group stands, rare ones first; the list of an absent one is empty. Categories
        without a training image are in none."""
        names = QUANTILES if any(group in QUANTILES for group in self.groups) else _FREQUENCIES
        return {name: [i for i, group in enumerate(self.groups) if group == name] for name in names}

    def means(self, values: np.ndarray) -> dict[str, float]:
        """Mean of the known values of each group, nan where there is none."""
        return {group: mean_known(values[index]) for group, index in self.members().items()}

    def mean_precisions(self, precision: np.ndarray, prefix: str = "AP") -> dict[str, float]:
        """AP of each group, by prefix + group, as of :func:`average_precision_by_category`."""
        groups = self.members().items()
        return {prefix + name: mean_precision(precision[:, :, index]) for name, index in groups}

    def write_table(
        self,
        folder: str | os.PathLike | None,
        task: str,
        score: str,
        scores: Sequence[float],
        **columns: Sequence,
    ) -> None:
        """Write ``per_category_{task}.json`` into the folder, if there is one: for each category
        id, name, group, image_count where it is known, the further columns and the score, null for
        nan."""
        if not folder:
            return
        known = {"id": self.ids, "name": self.names, "group": self.groups}
        scores = [None if math.isnan(value) else float(value) for value in scores]
        columns = known | {"image_count": self.image_count} | columns | {score: scores}
        records = [dict(zip(columns, row)) for row in zip(*columns.values())]
        for record in records:
            if record["image_count"] is None:
                del record["image_count"]
        write_json(os.path.join(folder, f"per_category_{task}.json"), records)


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
    return mean_known(precision[precision > -1]) * 100


def average_precision_by_category(precision: np.ndarray) -> list[float]:
    """AP in percent of each category; nan for a category without ground truth.

    Args:
        precision: shape (IoU thresholds, recalls, categories), -1 where not computable.
    """
    return [mean_precision(precision[:, :, index]) for index in range(precision.shape[2])]

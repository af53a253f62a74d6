"""How often each class occurs in the label maps of the training data, and groups made by it."""

import logging
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog

from ..exceptions import InputError
from .image_files import read_label_map

logger = logging.getLogger(__name__)

GROUP_RULES = ("pixels", "images")
_NAMES = ("r", "c", "f")


class LabelFrequency(NamedTuple):
    """Counts over one or several data sets.

    Attributes:
        pixel_count: int64 (C,), labelled pixels of each class.
        image_count: int64 (C,), images that show each class.
    """

    pixel_count: np.ndarray
    image_count: np.ndarray

    @property
    def pixel_share(self) -> np.ndarray:
        """Share of each class in the labelled pixels, float64 (C,)."""
        return self.pixel_count / max(self.pixel_count.sum(), 1)


class LabelGroups(NamedTuple):
    """Groups of classes and how they were made.

    Attributes:
        groups: "r" (tail), "c" (common) or "f" (head) of each class.
        rule: one line for people.
    """

    groups: list[str]
    rule: str


def count_labels(dataset_names: str | Sequence[str]) -> LabelFrequency:
    """Count the labels of registered data sets, all of their label maps.

    Each data set is counted once; the counts are kept in its metadata, the images as
    ``class_image_count``, where they are looked for.

    Raises:
        InputError: no data set is named; a label map cannot be read or has an unknown label.
    """
    names = [dataset_names] if isinstance(dataset_names, str) else list(dataset_names)
    if not names:
        raise InputError("no training data set is named: set DATASETS.TRAIN")
    counts = [_count_data_set(name) for name in names]
    return LabelFrequency(*(sum(parts) for parts in zip(*counts)))


def _count_data_set(name: str) -> LabelFrequency:
    metadata = MetadataCatalog.get(name)
    num_classes = len(metadata.stuff_classes)
    if metadata.get("class_pixel_count") is None:
        records = DatasetCatalog.get(name)
        logger.info(f"Counting the labels of {len(records)} label maps of {name}")
        pixel_count = np.zeros(num_classes, dtype=np.int64)
        image_count = np.zeros(num_classes, dtype=np.int64)
        for record in records:
            path, ignored = record["sem_seg_file_name"], metadata.ignore_label
            labels = read_label_map(path, num_classes, ignored)
            pixels = np.bincount(labels[labels != ignored], minlength=num_classes)
            pixel_count += pixels
            image_count += pixels > 0
        metadata.class_pixel_count = pixel_count.tolist()
        metadata.class_image_count = [
            {"id": i, "image_count": int(count)} for i, count in enumerate(image_count, start=1)
        ]
    image_count = [entry["image_count"] for entry in metadata.class_image_count]
    return LabelFrequency(np.array(metadata.class_pixel_count), np.array(image_count))


def group_labels(
    frequency: LabelFrequency, group_by: str = "pixels", thresholds: Sequence[float] = ()
) -> LabelGroups:
    """Group classes into head, common and tail.

    The paper's rule for ADE20K could not be verified, so there is no default of its own: this one
    is ours, and its text belongs to each number.

    Args:
        frequency: counts of the training data.
        group_by: "pixels" for the share of the labelled pixels, "images" for the number of images.
        thresholds: largest value of a tail and of a common class; none makes three groups of equal
            size, ties in the order of the classes, what is left over to the head first.

    Raises:
        InputError: another rule, or not two rising thresholds.
    """
    if group_by not in GROUP_RULES:
        raise InputError(
            f"MODEL.EQL.SEM_SEG.GROUP_BY is {group_by!r}: choose one of {', '.join(GROUP_RULES)}"
        )
    if len(thresholds) not in (0, 2) or (
        len(thresholds) and not 0 <= thresholds[0] < thresholds[1]
    ):
        raise InputError(
            f"MODEL.EQL.SEM_SEG.GROUP_THRESHOLDS is {tuple(thresholds)}: give the largest value of "
            "a tail and of a common class, rising, or () for three groups of equal size"
        )
    by_pixels = group_by == "pixels"
    values = frequency.pixel_share if by_pixels else frequency.image_count
    what = "share of the labelled training pixels" if by_pixels else "training images"
    if len(thresholds):
        index = np.searchsorted(np.asarray(thresholds, dtype=float), values, side="left")
        how = f"tail to {thresholds[0]:g}, common to {thresholds[1]:g} of the {what}"
    else:
        order = np.argsort(-values, kind="stable")
        index = np.empty(len(values), dtype=int)
        for group, members in enumerate(np.array_split(order, 3)):
            index[members] = 2 - group
        how = f"terciles by {what}"
    groups = [_NAMES[i] for i in index]
    sizes = " / ".join(str(groups.count(name)) for name in reversed(_NAMES))
    return LabelGroups(groups, f"head / common / tail: {how} ({sizes} classes)")

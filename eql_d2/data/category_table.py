"""What is known of the categories of training data: counted once, never a table in code."""

import dataclasses
import functools
import operator
from collections.abc import Callable, Sequence

import numpy as np
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.catalog import Metadata
from torch import Tensor

from ..distributed import from_main_process
from ..exceptions import InputError
from .category_counts import (
    CategoryCounts,
    check_label_counts,
    count_categories,
    count_labels,
)
from .category_groups import (
    GROUP_NAMES,
    SHOT_NAMES,
    CategoryGroups,
    group_by_images,
    group_by_instances,
    group_labels,
)
from .class_lists import adopt_training_classes
from .datasets.open_images.classes import read_categories

# By the name of the data set and what counts it: the registration that was counted, which is its
# metadata and function, and the counts.
_Counter = Callable[[str], CategoryCounts]
_COUNTED: dict[tuple[str, _Counter], tuple[tuple[Metadata, Callable | None], CategoryCounts]] = {}


@dataclasses.dataclass(frozen=True)
class CategoryTable:
    """Categories with their counts and groups, by contiguous class index.

    Attributes:
        counts: of the training data.
        groups: of the categories, with their rule.
    """

    counts: CategoryCounts
    groups: CategoryGroups

    def __len__(self) -> int:
        return len(self.counts.names)

    def rows(self) -> list[dict]:
        """``{"name", "group", "image_count", "instance_count"}`` of each class, for a file; the
        instance count is None where it is not known."""
        columns = {"name": self.counts.names, "group": self.groups.groups}
        for key in ("image_count", "instance_count"):
            count = getattr(self.counts, key)
            columns[key] = [None] * len(self) if count is None else map(int, count)
        return [dict(zip(columns, row)) for row in zip(*columns.values(), strict=True)]


def category_table(
    dataset_names: str | Sequence[str],
    frequency_thresholds: tuple[int, int] = (10, 100),
    sem_seg_groups: tuple[str, Sequence[float]] = ("pixels", ()),
) -> CategoryTable:
    """The categories of training data. Collective: each process must call it, the main one counts.

    Args:
        dataset_names: one or several registered data sets, counted together.
        frequency_thresholds: see :func:`frequency_groups`.
        sem_seg_groups: for label maps instead of them, rule and thresholds of
            :func:`group_labels`. Open Images goes by :func:`group_by_instances`.

    Raises:
        InputError: no data set is named, or the data or the thresholds are wrong.
    """
    names = as_names(dataset_names)
    counts = count_training_data(names)
    evaluator_type = MetadataCatalog.get(names[0]).get("evaluator_type")
    if evaluator_type == "sem_seg":
        groups = group_labels(counts.pixel_share, counts.image_count, *sem_seg_groups)
    elif evaluator_type == "open_images":
        groups = group_by_instances(counts.instance_count)
    else:
        group_names = SHOT_NAMES if evaluator_type == "classification" else GROUP_NAMES
        groups = group_by_images(counts.image_count, frequency_thresholds, group_names)
    return CategoryTable(counts, groups)


def get_image_frequency(dataset_names: str | Sequence[str]) -> Tensor:
    """Share of the annotated images that contain each class, the f of EQL. Collective.

    Args:
        dataset_names: one or several registered data sets, counted together.

    Returns:
        float64 (C,), values in [0, 1].

    Raises:
        InputError: no data set given, or none has an annotated image.
    """
    return _image_frequency(as_names(dataset_names), _count_with_images)


def get_label_frequency(dataset_names: str | Sequence[str]) -> Tensor:
    """As :func:`get_image_frequency`, of the classes of label maps, also where the data have
    instances of other classes besides them, as panoptic data have."""
    return _image_frequency(as_names(dataset_names), count_labels)


def get_class_count(dataset_names: str | Sequence[str]) -> Tensor:
    """Training samples of each class, the n of logit adjustment. Collective.

    Args:
        dataset_names: one or several registered data sets, counted together.

    Returns:
        float64 (C,): labelled pixels of label maps, else instances; images where only they are
        known, as for Detectron2's LVIS.

    Raises:
        InputError: no data set given.
    """
    counts = count_training_data(dataset_names)
    known = (counts.pixel_count, counts.instance_count, counts.image_count)
    return torch.as_tensor(next(count for count in known if count is not None)).double()


def count_training_data(dataset_names: str | Sequence[str]) -> CategoryCounts:
    """Counts of registered data sets, added up. Collective, and each data set is counted once.

    Raises:
        InputError: no data set given, the data are wrong, their classes cannot be joined, or label
            maps show one class only.
    """
    return _counted(as_names(dataset_names), _count)


def get_pixel_count(dataset_names: str | Sequence[str]) -> Tensor:
    """As :func:`get_class_count`, the labelled pixels of the classes of label maps, also where the
    data have instances of other classes besides them, as panoptic data have."""
    return torch.as_tensor(_counted(as_names(dataset_names), count_labels).pixel_count).double()


def _image_frequency(names: list[str], counter: _Counter) -> Tensor:
    counts = _counted(names, counter)
    if counts.num_images == 0:
        raise InputError(
            f"data sets {', '.join(names)} have no annotated image: "
            "image frequencies need the training annotations"
        )
    return torch.as_tensor(counts.image_count / counts.num_images)


def _counted(names: list[str], counter: _Counter) -> CategoryCounts:
    """See :func:`count_training_data`. Classes that no label map shows are logged."""
    if len(names) > 1:
        adopt_training_classes(names, ())
    keys = [(name, count_labels if _has_only_label_maps(name) else counter) for name in names]
    present = [(MetadataCatalog.get(name), DatasetCatalog.data.get(name)) for name in names]
    is_new = any(_COUNTED.get(key, (None,))[0] != found for key, found in zip(keys, present))
    if is_new:
        counted = from_main_process(lambda: [count(name) for name, count in keys])
        _COUNTED.update(zip(keys, zip(present, counted)))
    counts = functools.reduce(operator.add, (_COUNTED[key][1] for key in keys))
    if counts.pixel_count is not None:
        check_label_counts(names, counts, say=is_new)
    return counts


def as_names(dataset_names: str | Sequence[str]) -> list[str]:
    names = [dataset_names] if isinstance(dataset_names, str) else list(dataset_names)
    if not names:
        raise InputError("no training data set is named: set DATASETS.TRAIN")
    return names


def _has_only_label_maps(name: str) -> bool:
    return MetadataCatalog.get(name).get("evaluator_type") == "sem_seg"


def _count_with_images(name: str) -> CategoryCounts:
    return _count(name, with_num_images=True)


def _count(name: str, with_num_images: bool = False) -> CategoryCounts:
    """What registration has counted (``class_image_count`` of the metadata; Detectron2 has it for
    LVIS v1) is not counted again, unless the number of images is needed and not known."""
    metadata = MetadataCatalog.get(name)
    if metadata.get("evaluator_type") == "open_images" and not with_num_images:
        # Loading 14 million boxes would take minutes.
        return _from_entries(read_categories(metadata.json_file))
    num_images = metadata.get("num_annotated_images")
    if metadata.get("class_image_count") and (num_images is not None or not with_num_images):
        names = metadata.get("thing_classes")
        return _from_entries(metadata.class_image_count, names, num_images)
    records = DatasetCatalog.get(name)  # which may set the names of the classes
    counts = count_categories(records, metadata.thing_classes)
    ids = {i: id_ for id_, i in metadata.get("thing_dataset_id_to_contiguous_id", {}).items()}
    return dataclasses.replace(counts, ids=[ids.get(i, i) for i in range(len(counts.names))])


def _from_entries(
    entries: Sequence[dict], names: Sequence[str] | None = None, num_images: int | None = None
) -> CategoryCounts:
    """From ``{"id", "image_count", "instance_count"}`` of each class; its id may name it."""
    entries = sorted(entries, key=lambda entry: entry["id"])
    instances = [entry.get("instance_count") for entry in entries]
    return CategoryCounts(
        list(names or (entry.get("name", str(entry["id"])) for entry in entries)),
        [entry["id"] for entry in entries],
        np.array([entry["image_count"] for entry in entries], dtype=np.int64),
        None if None in instances else np.array(instances, dtype=np.int64),
        num_images,
    )

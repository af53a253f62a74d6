"""How often each category occurs: counted in the data, never a table in code."""

import dataclasses
import logging
from collections.abc import Sequence

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog

from ..exceptions import InputError
from .image_files import MAX_IMAGE_PIXELS, read_label_map

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class CategoryCounts:
    """How often each category occurs, by contiguous class index.

    Attributes:
        names: of the C categories.
        ids: of the categories in the annotation file, or the class indices.
        image_count: int64 (C,), images that contain each class.
        instance_count: int64 (C,), instances of each class; None where not known.
        num_images: number of images with at least one instance; None where not known.
        pixel_count: int64 (C,), labelled pixels of each class; None but for label maps.
    """

    names: list[str]
    ids: list[int]
    image_count: np.ndarray
    instance_count: np.ndarray | None = None
    num_images: int | None = None
    pixel_count: np.ndarray | None = None

    @property
    def pixel_share(self) -> np.ndarray | None:
        """Share of each class in the labelled pixels, float64 (C,)."""
        if self.pixel_count is None:
            return None
        return self.pixel_count / max(self.pixel_count.sum(), 1)

    def __add__(self, other: "CategoryCounts") -> "CategoryCounts":
        def both(field):
            values = getattr(self, field), getattr(other, field)
            return None if any(value is None for value in values) else values[0] + values[1]

        counts = ("image_count", "instance_count", "num_images", "pixel_count")
        return CategoryCounts(self.names, self.ids, *map(both, counts))


def count_categories(dataset_dicts: Sequence[dict], names: Sequence[str]) -> CategoryCounts:
    """Count the categories of data in Detectron2's standard format; crowd regions do not count."""
    image_count = np.zeros(len(names), dtype=np.int64)
    instance_count = np.zeros(len(names), dtype=np.int64)
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
    ids = list(range(len(names)))
    return CategoryCounts(list(names), ids, image_count, instance_count, num_images)


def count_labels(name: str) -> CategoryCounts:
    """Count all label maps of a registered data set; an image counts for each class it shows.

    Raises:
        InputError: the data set has no label maps.
    """
    metadata, records = MetadataCatalog.get(name), DatasetCatalog.get(name)
    if not metadata.get("stuff_classes") or any("sem_seg_file_name" not in r for r in records):
        raise InputError(
            f"data set {name!r} has no label maps with stuff_classes, whose pixels are counted: "
            "name data for semantic or panoptic segmentation in DATASETS.TRAIN"
        )
    logger.info(f"Counting the labels of {len(records)} label maps of {name}")
    num_classes, ignored = len(metadata.stuff_classes), metadata.get("ignore_label", 255)
    max_pixels = metadata.get("max_image_pixels", MAX_IMAGE_PIXELS)
    index = metadata.get("label_index")
    pixel_count = np.zeros(num_classes, dtype=np.int64)
    image_count = np.zeros(num_classes, dtype=np.int64)
    for record in records:
        path = record["sem_seg_file_name"]
        labels = read_label_map(path, num_classes, ignored, max_pixels, index)
        pixels = np.bincount(labels[labels != ignored], minlength=num_classes)
        pixel_count += pixels
        image_count += pixels > 0
    return CategoryCounts(
        list(metadata.stuff_classes),
        list(range(num_classes)),
        image_count,
        num_images=len(records),
        pixel_count=pixel_count,
    )


def check_label_counts(names: Sequence[str], counts: CategoryCounts, say: bool) -> None:
    """Refuse label maps in which there is nothing to tell apart, and name classes that none shows.

    Args:
        names: of the data sets, for the message.
        counts: of all their label maps.
        say: whether to log the classes.

    Raises:
        InputError: of several classes, the label maps show one, or none.
    """
    where = f"training data {', '.join(map(repr, names))}"
    occurs = counts.image_count > 0
    if len(occurs) > 1 and occurs.sum() < 2:
        alone = [f"class {i} ({counts.names[i]!r}) alone" for i in np.flatnonzero(occurs)]
        raise InputError(
            f"{where}: all {counts.num_images:,} label maps show {(*alone, 'no class')[0]}: write "
            "class indices from 0 (of a binary mask 1 in the place of 255, which is ignored)"
        )
    missing = np.flatnonzero(~occurs)
    if say and len(missing):
        first = ", ".join(f"{i} ({counts.names[i]!r})" for i in missing[:5])
        logger.warning(
            f"{where}: {len(missing)} of {len(occurs)} classes are in no label map and are not "
            f"learned: {first}{', ...' if len(missing) > 5 else ''}"
        )

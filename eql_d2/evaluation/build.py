"""The evaluator of a registered data set."""

import logging
from collections.abc import Sequence

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm

from ..data import count_labels, frequency_groups, get_image_count, group_labels
from ..data.datasets.open_images_classes import read_category_counts
from ..exceptions import InputError
from .classification_evaluation import ClassificationEvaluator
from .coco_evaluation import COCOEvaluator
from .lvis_evaluation import LVISEvaluator
from .open_images_evaluation import OpenImagesEvaluator
from .sem_seg_evaluation import SemSegEvaluator

logger = logging.getLogger(__name__)

_EVALUATORS = {
    "classification": ClassificationEvaluator,
    "coco": COCOEvaluator,
    "lvis": LVISEvaluator,
    "open_images": OpenImagesEvaluator,
    "sem_seg": SemSegEvaluator,
}


def build_evaluator(
    dataset_name: str,
    output_dir: str | None,
    *,
    training_datasets: str | Sequence[str] = (),
    frequency_thresholds: tuple[int, int] = (10, 100),
    sem_seg_groups: tuple[str, Sequence[float]] = ("pixels", ()),
    **kwargs,
) -> DatasetEvaluator:
    """The evaluator for `evaluator_type` in the metadata, for example "lvis" or "classification".

    Args:
        dataset_name: a registered data set.
        output_dir: for results; give each data set its own, since the names of files are alike.
        training_datasets: registered data sets whose images make the groups rare, common and
            frequent. Without them, or where they cannot be counted, the groups are those of the
            annotation file, if it has any. For "open_images" their instances make five groups.
        frequency_thresholds: most training images of a rare and of a common category.
        sem_seg_groups: for "sem_seg" instead of them, the rule and the thresholds of
            :func:`eql_d2.data.group_labels`.
        **kwargs: further arguments of the evaluator.

    Raises:
        InputError: there is no evaluator for the data set.
    """
    evaluator_type = MetadataCatalog.get(dataset_name).get("evaluator_type")
    if evaluator_type not in _EVALUATORS:
        raise InputError(
            f"evaluator_type of data set {dataset_name!r} is {evaluator_type!r}: "
            f"there are evaluators for {' and '.join(map(repr, _EVALUATORS))}"
        )
    names = [training_datasets] if isinstance(training_datasets, str) else list(training_datasets)
    if evaluator_type == "open_images":
        kwargs |= _open_images_counts(names)
    elif evaluator_type == "sem_seg":
        kwargs |= _label_counts(names, *sem_seg_groups)
    elif (image_count := _training_image_count(names, evaluator_type)) is not None:
        kwargs["image_count"] = image_count
        kwargs["category_groups"] = frequency_groups(image_count, frequency_thresholds)
    return _EVALUATORS[evaluator_type](dataset_name, output_dir=output_dir, **kwargs)


def _training_image_count(names: Sequence[str], evaluator_type: str) -> np.ndarray | None:
    if not names:
        return None
    counted = all(MetadataCatalog.get(name).get("class_image_count") for name in names)
    if evaluator_type == "lvis" and not counted:
        return None  # LVIS v0.5 has its groups in the annotation file: nothing to load
    try:
        return get_image_count(name for name in names if name in DatasetCatalog.list())
    except (InputError, FileNotFoundError) as error:
        logger.warning(f"The training data cannot be counted for frequency groups: {error}")
        return None


def _open_images_counts(names: Sequence[str]) -> dict[str, np.ndarray]:
    """Training images and instances of each class; loading 14 million boxes would take minutes."""
    try:
        files = [MetadataCatalog.get(name).get("json_file", "") for name in names]
        counts = [read_category_counts(json_file) for json_file in files]
    except InputError as error:
        logger.warning(f"The training data give no frequency groups: {error}")
        return {}
    if not counts:
        return {}
    image_counts, instance_counts = zip(*counts)
    return {"image_count": sum(image_counts), "instance_count": sum(instance_counts)}


def _label_counts(names: Sequence[str], group_by: str, thresholds: Sequence[float]) -> dict:
    """Counts and groups of the classes of segmentation; only the main process needs them."""
    if not names or not comm.is_main_process():
        return {}
    try:
        frequency = count_labels(names)
    except (InputError, FileNotFoundError) as error:
        logger.warning(f"The training data give no head, common and tail groups: {error}")
        return {}
    groups = group_labels(frequency, group_by, thresholds)
    return {"frequency": frequency, "label_groups": groups}

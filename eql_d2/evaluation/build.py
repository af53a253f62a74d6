"""The evaluator of a registered data set."""

import logging
from collections.abc import Sequence

from detectron2.data import MetadataCatalog
from detectron2.evaluation import DatasetEvaluator

from ..data import CategoryTable, adopt_training_classes, category_table
from ..exceptions import InputError
from ..files import check_local
from .classification_evaluation import ClassificationEvaluator
from .coco_evaluation import COCOEvaluator
from .lvis import LVISEvaluator
from .open_images import OpenImagesEvaluator
from .sem_seg_evaluation import SemSegEvaluator

logger = logging.getLogger(__name__)

# By ``evaluator_type`` of the metadata; a new one is called with the arguments of these.
EVALUATORS = {
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

    With several processes a collective: each must call it.

    Args:
        dataset_name: a registered data set.
        output_dir: for results; give each data set its own, since the names of files are alike.
        training_datasets: registered data sets whose classes, in their order, are those of the
            model, and whose images make the groups rare, common and frequent. Without them, or
            where they cannot be counted, the groups are those of the annotation file, if it has
            any. For "open_images" their instances make five groups.
        frequency_thresholds: most training images of a rare and of a common category.
        sem_seg_groups: for "sem_seg" instead of them, the rule and the thresholds of
            :func:`eql_d2.data.group_labels`.
        **kwargs: further arguments of the evaluator.

    Raises:
        InputError: ``output_dir`` is of another file system; there is no evaluator for the data
            set, or it has a class that the training data do not have.
    """
    check_local(output_dir, "output_dir")
    evaluator_type = MetadataCatalog.get(dataset_name).get("evaluator_type")
    if evaluator_type not in EVALUATORS:
        raise InputError(
            f"evaluator_type of data set {dataset_name!r} is {evaluator_type!r}: "
            f"there are evaluators for {' and '.join(map(repr, EVALUATORS))}"
        )
    names = [training_datasets] if isinstance(training_datasets, str) else list(training_datasets)
    adopt_training_classes(names, [dataset_name])
    if "training_categories" not in kwargs:
        kwargs["training_categories"] = _training_categories(
            evaluator_type, names, frequency_thresholds, sem_seg_groups
        )
    return EVALUATORS[evaluator_type](dataset_name, output_dir=output_dir, **kwargs)


def _training_categories(evaluator_type: str, names: Sequence[str], *rules) -> CategoryTable | None:
    # LVIS v0.5 has its groups in the annotation file: nothing to load
    known = [MetadataCatalog.get(name).as_dict().keys() for name in names]
    counted = all(keys & {"class_image_count", "before_adoption"} for keys in known)
    if not names or (evaluator_type == "lvis" and not counted):
        return None
    try:
        return category_table(names, *rules)
    except (InputError, FileNotFoundError, KeyError) as error:
        logger.warning(f"The training data cannot be counted for frequency groups: {error}")
        return None

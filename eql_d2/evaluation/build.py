"""The evaluator of a registered data set."""

from collections.abc import Sequence

from detectron2.data import MetadataCatalog
from detectron2.evaluation import DatasetEvaluator

from ..exceptions import InputError
from .coco_evaluation import COCOEvaluator
from .lvis_evaluation import LVISEvaluator


def build_evaluator(
    dataset_name: str,
    output_dir: str | None,
    *,
    tasks: Sequence[str] | None = None,
    category_groups: Sequence[str] | None = None,
    fixed_ap: bool = False,
) -> DatasetEvaluator:
    """The evaluator for the `evaluator_type` in the data set's metadata, "lvis" or "coco".

    Args:
        dataset_name: a registered data set.
        output_dir: for results; give each data set its own, since the names of files are alike.
        tasks: "bbox", "segm"; None takes what the model predicts.
        category_groups: "r", "c" or "f" for each contiguous class.
        fixed_ap: also compute AP-Fixed (LVIS only).

    Raises:
        InputError: there is no evaluator for the data set, or it has no AP-Fixed.
    """
    evaluator_type = MetadataCatalog.get(dataset_name).get("evaluator_type")
    if evaluator_type == "lvis":
        return LVISEvaluator(
            dataset_name,
            tasks,
            True,
            output_dir,
            category_groups=category_groups,
            fixed_ap=fixed_ap,
        )
    if evaluator_type == "coco" and fixed_ap:
        raise InputError(f"fixed_ap is for LVIS; the evaluator_type of {dataset_name!r} is 'coco'")
    if evaluator_type == "coco":
        return COCOEvaluator(dataset_name, tasks, True, output_dir, category_groups=category_groups)
    raise InputError(
        f"evaluator_type of data set {dataset_name!r} is {evaluator_type!r}: "
        "there are evaluators for 'coco' and 'lvis'"
    )

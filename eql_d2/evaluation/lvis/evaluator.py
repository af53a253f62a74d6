"""LVIS evaluation with Detectron2's interface, in bounded memory and by a fast engine."""

import logging
from collections.abc import Sequence

from detectron2.utils.logger import create_small_table

from ...data import CategoryTable
from ...exceptions import InputError
from ..evaluated_categories import (
    EvaluatedCategories,
    average_precision_by_category,
    mean_precision,
)
from ..evaluation_json import write_evaluation
from ..instance_evaluator import InstanceEvaluator
from ..prediction_files import is_empty
from ..rank_predictions import FIXED_AP, TASKS
from .engines import Curves, choose_engine, curves_without_detections
from .ground_truth import clean_file, read_ground_truth

logger = logging.getLogger(__name__)

_FIXED_AP_LIMIT = 10_000  # detections per category, Dave et al. 2021


class LVISEvaluator(InstanceEvaluator):
    """LVIS AP and AR of boxes and masks, by lvis-api's rules for federated data sets.

    The same numbers as `detectron2.evaluation.LVISEvaluator`, and the four recalls of lvis-api.
    What differs:

    - Detections go to files as they come, see :class:`InstanceEvaluator`, and the engine reads
      them from there.
    - What cannot be computed is nan, not -100.

    It leaves in `output_dir`: ``lvis_bbox_results.json``, ``lvis_segm_results.json`` (detections
    in LVIS's result format) and ``per_category_bbox.json``, ``per_category_segm.json`` (AP of
    each category).

    With `fixed_ap` the results also have APFixed, APFixedr, APFixedc and APFixedf, "AP-Fixed" of
    Dave et al. 2021, https://arxiv.org/abs/2102.01066: no limit per image, but the 10,000 best
    detections of each category over the data set (``lvis_*_fixed_ap_results.json``). The model
    itself must then be asked for more detections per image: ``TEST.DETECTIONS_PER_IMAGE``.

    Args:
        dataset_name: a registered data set with the metadata `json_file`, in LVIS format, which
            the main process reads. Class i has the category id that
            `thing_dataset_id_to_contiguous_id` gives it, or i + 1 if the metadata has none.
        tasks: of "bbox" and "segm"; None takes what the model predicts.
        distributed, output_dir: see :class:`InstanceEvaluator`.
        max_dets_per_image: None is LVIS's 300.
        training_categories: by contiguous class, for groups and table; None takes `frequency` and
            `image_count` of the ground truth's categories, or the metadata's counts.
        fixed_ap: also compute AP-Fixed.
        engine: "hotcoco", "lvis", or None for hotcoco if it is installed and lvis otherwise.

    Raises:
        InputError: the ground truth cannot be read, or an argument is wrong.
    """

    _FILES = "lvis"

    def __init__(
        self,
        dataset_name: str,
        tasks: Sequence[str] | None = None,
        distributed: bool = True,
        output_dir: str | None = None,
        *,
        max_dets_per_image: int | None = None,
        training_categories: CategoryTable | None = None,
        fixed_ap: bool = False,
        engine: str | None = None,
    ) -> None:
        if unknown := set(tasks or ()) - set(TASKS):
            raise InputError(f"task {unknown.pop()!r} is unknown: LVIS has {', '.join(TASKS)}")
        if max_dets_per_image is not None and max_dets_per_image < 1:
            raise InputError(f"max_dets_per_image is {max_dets_per_image}: give 1 or more")
        super().__init__(
            dataset_name,
            distributed,
            output_dir,
            tasks=sorted(tasks) if tasks else None,
            max_dets=max_dets_per_image or 300,
            fixed_ap_limit=_FIXED_AP_LIMIT if fixed_ap else None,
        )
        self._engine = choose_engine(engine)
        if self._evaluates:
            self._truth = read_ground_truth(self._metadata.json_file)
            categories = self._truth.categories
            dataset_ids = self._dataset_ids() or {i: i + 1 for i in range(len(categories))}
            counts = self._metadata.get("class_image_count", ())
            self._categories = EvaluatedCategories.of_file(
                categories, dataset_ids, training_categories, counts
            )
            if unknown := self._categories.groups.count(None):
                logger.warning(
                    f"{unknown} of {len(categories)} categories in {self._truth.json_file} have no "
                    "frequency 'r', 'c' or 'f': they count in none of APr, APc, APf; pass "
                    "training_categories"
                )

    def _evaluate(self, tasks: Sequence[str]) -> dict[str, dict[str, float]]:
        if self._truth.num_annotations == 0:
            logger.info(f"{self._truth.json_file} has no annotations: nothing to compare with")
            return {}
        with clean_file(self._truth, self._engine.reads, self._directory) as truth_file:
            results = {task: self._evaluate_task(task, truth_file) for task in tasks}
        folder, evaluator = self._output_dir, f"LVISEvaluator ({self._engine.name})"
        num_tested = len(self._truth.instance_count)
        write_evaluation(
            folder, self._dataset_name, evaluator, results, self._categories, num_tested
        )
        return results

    def _evaluate_task(self, task: str, truth_file: str) -> dict[str, float]:
        categories, count = self._categories, self._truth.instance_count
        curves = self._curves(task, task, truth_file, self._max_dets)
        results = curves.summarize(self._max_dets, categories)
        self._log(task, "AP", f"at most {self._max_dets} detections an image", results)
        ap = average_precision_by_category(curves.precision[..., 0])
        categories.write_table(
            self._output_dir, task, "AP", ap, instance_count=[count[i] for i in categories.ids]
        )
        if self._fixed_ap_limit is not None:
            precision = self._curves(task, task + FIXED_AP, truth_file, -1).precision[..., 0]
            fixed = {"APFixed": mean_precision(precision)}
            fixed |= categories.mean_precisions(precision, "APFixed")
            limit = f"at most {self._fixed_ap_limit} detections a category"
            self._log(task, "AP-Fixed", limit, fixed)
            results |= fixed
        return results

    def _curves(self, task: str, stream: str, truth_file: str, max_dets: int) -> Curves:
        results_file = self._results_file(stream)
        if is_empty(results_file):
            logger.warning(f"No detections with an area in {results_file}: its numbers are nan")
            return curves_without_detections(len(self._truth.categories))
        return self._engine.run(truth_file, results_file, task, max_dets)

    def _log(self, task: str, metric: str, limit: str, results: dict[str, float]) -> None:
        name = "box" if task == "bbox" else "mask"
        table = create_small_table(results)
        logger.info(f"LVIS {name} {metric} by {self._engine.name}, {limit}:\n{table}")

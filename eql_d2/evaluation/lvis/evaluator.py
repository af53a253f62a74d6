"""LVIS evaluation with Detectron2's interface, in bounded memory and by a fast engine."""

import logging
import os
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
from ..prediction_files import is_empty, join_parts, join_top_per_category
from ..rank_predictions import FIXED_AP, TASKS, RankPredictions
from .engines import Curves, choose_engine, curves_without_detections
from .ground_truth import clean_file, read_ground_truth

logger = logging.getLogger(__name__)

_FIXED_AP_LIMIT = 10_000  # detections per category, Dave et al. 2021


class LVISEvaluator(InstanceEvaluator):
    """LVIS AP and AR of boxes and masks, by lvis-api's rules for federated data sets.

    The same numbers as `detectron2.evaluation.LVISEvaluator`, and the four recalls of lvis-api.
    What differs:

    - Detections go to files in `output_dir` as they come, and the engine reads them from there.
      **All ranks must see the same `output_dir`**, or, if it is None, the same temporary folder.
    - What cannot be computed is nan, not -100.
    - Detections without a finite score and box are dropped, with a warning.

    It leaves in `output_dir`: ``lvis_bbox_results.json``, ``lvis_segm_results.json`` (detections
    in LVIS's result format) and ``per_category_bbox.json``, ``per_category_segm.json`` (AP of
    each category). Files of an earlier evaluation in the same place are replaced.

    With `fixed_ap` the results also have APFixed, APFixedr, APFixedc and APFixedf, "AP-Fixed" of
    Dave et al. 2021, https://arxiv.org/abs/2102.01066: no limit per image, but the 10,000 best
    detections of each category over the data set (``lvis_*_fixed_ap_results.json``). The model
    itself must then be asked for more detections per image: ``TEST.DETECTIONS_PER_IMAGE``.
    """

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
        """Read the ground truth in the main process and choose the engine.

        Args:
            dataset_name: a registered data set with the metadata `json_file`, in LVIS format.
                Class i has the category id that `thing_dataset_id_to_contiguous_id` gives it,
                or i + 1 if the metadata has none.
            tasks: of "bbox" and "segm"; None takes what the model predicts.
            distributed: evaluate the detections of all ranks in the main process; otherwise each
                process evaluates its own.
            output_dir: None keeps no files.
            max_dets_per_image: None is LVIS's 300.
            training_categories: by contiguous class, for groups and table; None takes `frequency`
                and `image_count` of the ground truth's categories, or the metadata's counts.
            fixed_ap: also compute AP-Fixed.
            engine: "hotcoco", "lvis", or None for hotcoco if it is installed and lvis otherwise.

        Raises:
            InputError: the ground truth cannot be read, or an argument is wrong.
        """
        unknown = set(tasks or ()) - set(TASKS)
        if unknown:
            raise InputError(f"task {unknown.pop()!r} is unknown: LVIS has {', '.join(TASKS)}")
        if max_dets_per_image is not None and max_dets_per_image < 1:
            raise InputError(f"max_dets_per_image is {max_dets_per_image}: give 1 or more")
        max_dets = 300 if max_dets_per_image is None else max_dets_per_image
        tasks = sorted(tasks) if tasks else None
        super().__init__(
            dataset_name,
            distributed,
            output_dir,
            tasks=tasks,
            max_dets=max_dets,
            fixed_ap=fixed_ap,
        )
        self._tasks = tasks
        self._max_dets = max_dets
        self._fixed_ap = fixed_ap
        self._engine = choose_engine(engine)
        if self._evaluates:
            self._truth = read_ground_truth(self._metadata.json_file)
            categories = self._truth.categories
            dataset_ids = self._dataset_ids() or {i: i + 1 for i in range(len(categories))}
            counts = self._metadata.get("class_image_count", ())
            self._categories = EvaluatedCategories.of_file(
                categories,
                dataset_ids,
                training_categories,
                {entry["id"]: entry["image_count"] for entry in counts},
            )
            unknown = self._categories.groups.count(None)
            if unknown:
                logger.warning(
                    f"{unknown} of {len(categories)} categories in {self._truth.json_file} have no "
                    "frequency 'r', 'c' or 'f': they count in none of APr, APc, APf; pass "
                    "training_categories"
                )

    def _join(self, ranks: Sequence[RankPredictions]) -> list[str]:
        """Write the results files of all tasks and return the tasks."""
        images = {image_id for rank in ranks for image_id in rank.image_ids}
        if not images:
            logger.warning("No image was processed: there is nothing to evaluate")
            return []
        self._truth.check_images(images)
        num_not_finite = sum(rank.num_not_finite for rank in ranks)
        if num_not_finite:
            logger.warning(f"Dropped {num_not_finite} detections without finite score and box")
        predicted = {stream.removesuffix(FIXED_AP) for rank in ranks for stream in rank.parts}
        tasks = self._tasks or sorted(predicted) or ["bbox"]
        for task in tasks:
            parts = [rank.parts[task] for rank in ranks if task in rank.parts]
            join_parts(parts, self._results_file(task))
            if self._fixed_ap:
                stream = task + FIXED_AP
                parts = [rank.parts[stream] for rank in ranks if stream in rank.parts]
                join_top_per_category(parts, self._results_file(stream), _FIXED_AP_LIMIT)
        for part in (part for rank in ranks for part in rank.parts.values()):
            os.remove(part.path)
        return tasks

    def _evaluate(self, tasks: Sequence[str]) -> dict[str, dict[str, float]]:
        if self._truth.num_annotations == 0:
            logger.info(f"{self._truth.json_file} has no annotations: nothing to compare with")
            return {}
        with clean_file(self._truth, self._directory) as truth_file:
            results = {task: self._evaluate_task(task, truth_file) for task in tasks}
        write_evaluation(
            self._output_dir,
            self._dataset_name,
            f"LVISEvaluator ({self._engine.name})",
            results,
            self._categories,
            sum(count > 0 for count in self._truth.instance_count.values()),
        )
        return results

    def _evaluate_task(self, task: str, truth_file: str) -> dict[str, float]:
        groups = self._categories.members()
        curves = self._curves(task, task, truth_file, self._max_dets)
        results = curves.summarize(self._max_dets, groups)
        self._log(task, "AP", f"at most {self._max_dets} detections an image", results)
        instance_count = self._truth.instance_count
        self._categories.write_table(
            os.path.join(self._directory, f"per_category_{task}.json"),
            "AP",
            average_precision_by_category(curves.precision[..., 0]),
            instance_count=[instance_count.get(i, 0) for i in self._categories.ids],
        )
        if self._fixed_ap:
            curves = self._curves(task, task + FIXED_AP, truth_file, -1)
            fixed = {"APFixed": mean_precision(curves.precision[..., 0])}
            fixed |= curves.group_average_precision("APFixed", groups)
            limit = f"at most {_FIXED_AP_LIMIT} detections a category"
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

    def _results_file(self, stream: str) -> str:
        return os.path.join(self._directory, f"lvis_{stream}_results.json")

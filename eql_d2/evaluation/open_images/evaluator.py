"""Evaluation of the Open Images Challenge 2019 with five groups by frequency."""

import dataclasses
import logging
import sys
from collections.abc import Sequence

import numpy as np
from detectron2.utils.logger import create_small_table

from ...data import CategoryTable, group_by_instances
from ..evaluated_categories import EvaluatedCategories, mean_known
from ..evaluation_json import write_evaluation
from ..instance_evaluator import InstanceEvaluator
from .detections import read_detections
from .ground_truth import read_open_images
from .matching import average_precision_by_class

logger = logging.getLogger(__name__)


class OpenImagesEvaluator(InstanceEvaluator):
    """AP of boxes at IoU 0.5 by the rules of the Open Images Challenge 2019.

    The rules (https://storage.googleapis.com/openimages/web/evaluation.html) and what is done:

    - In each image only the classes verified to be present or absent are evaluated, and those
      that have a box; other detections are dropped. Without labels in the file all classes are.
    - Group-of boxes and the matching: see :func:`average_precision_by_class`.
    - A class above others in the hierarchy has their objects too: boxes and positive labels are
      expanded to all ancestors, negative labels to all descendants (`expand_ground_truth`).
    - Detections are taken as they are: the challenge's program expects that the model detects the
      ancestors too, as one trained on expanded boxes does. `expand_detections` gives each
      detection to all ancestors instead, with the same score.

    The mean is over the classes with ground truth, by the area under the whole curve (PASCAL
    VOC since 2010), without a limit of detections per image other than the model's.

    The groups AP50_1 (rarest) to AP50_5 (most frequent) are five equal parts of the classes in the
    order of their training instances, as in EQL v2, https://arxiv.org/abs/2012.08548: 100 classes
    each of 500. A group's number is the mean over its classes with ground truth, nan without any.

    Detections go to files as they come, see :class:`InstanceEvaluator`. It leaves in `output_dir`
    ``open_images_bbox_results.json`` (detections in COCO's result format, not expanded) and
    ``per_category_bbox.json`` (group and AP at IoU 0.5 of each category).

    Args:
        dataset_name, distributed, output_dir: see :class:`InstanceEvaluator`.
        training_categories: by contiguous class, with the groups. None takes `instance_count` of
            the categories of the evaluated file, and without them there are no groups.
        expand_ground_truth: None expands if the file has a hierarchy.
        expand_detections: also count a detection for all ancestors of its class.

    Raises:
        InputError: the ground truth cannot be read or has no hierarchy where one is needed, or
            there is not one count for each class.
    """

    _FILES = "open_images"

    def __init__(
        self,
        dataset_name: str,
        distributed: bool = True,
        output_dir: str | None = None,
        *,
        training_categories: CategoryTable | None = None,
        expand_ground_truth: bool | None = None,
        expand_detections: bool = False,
    ) -> None:
        super().__init__(
            dataset_name, distributed, output_dir, tasks=("bbox",), max_dets=sys.maxsize
        )
        if self._evaluates:
            needed = expand_ground_truth or expand_detections
            self._truth = read_open_images(self._metadata.json_file, expand_ground_truth, needed)
            self._expansion = self._truth.is_subclass if expand_detections else None
            category_ids = [category["id"] for category in self._truth.categories]
            dataset_ids = self._dataset_ids() or dict(enumerate(category_ids))
            self._categories = EvaluatedCategories.of_file(
                self._truth.categories, dataset_ids, training_categories
            )
            counts = [category.get("instance_count") for category in self._truth.categories]
            if training_categories is None and None not in counts:
                groups = group_by_instances(counts)
                self._categories = dataclasses.replace(
                    self._categories,
                    groups=groups.groups,
                    rule=f"{groups.rule}, counted in {self._truth.json_file}",
                )

    def _evaluate(self, tasks: Sequence[str]) -> dict[str, dict[str, float]]:
        truth = self._truth
        if not truth.instance_count:
            logger.warning(f"{truth.json_file} has no annotations: nothing to evaluate")
            return {}
        boxes, scores = read_detections(self._results_file(*tasks), truth, self._expansion)
        ap = 100 * average_precision_by_class(
            boxes, scores, truth.boxes, truth.is_group_of, len(truth.categories)
        )
        categories, results = self._categories, {"AP50": mean_known(ap)}
        if categories.rule is not None:
            results |= {f"AP50_{name}": value for name, value in categories.means(ap).items()}
            logger.info(categories.rule)
        logger.info(f"Open Images box AP at IoU 0.5:\n{create_small_table(results)}")
        folder, count = self._output_dir, [truth.instance_count[i] for i in categories.ids]
        categories.write_table(folder, "bbox", "AP", ap, instance_count=count)
        results, num_tested = {"bbox": results}, int(np.isfinite(ap).sum())
        write_evaluation(
            folder, self._dataset_name, "OpenImagesEvaluator", results, categories, num_tested
        )
        return results

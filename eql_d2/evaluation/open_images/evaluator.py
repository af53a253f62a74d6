"""Evaluation of the Open Images Challenge 2019 with five groups by frequency."""

import dataclasses
import logging
import os
import sys
from collections.abc import Sequence

import numpy as np
from detectron2.utils.logger import create_small_table

from ...data import CategoryTable, group_by_instances
from ...exceptions import InputError
from ..evaluated_categories import EvaluatedCategories, mean_known
from ..evaluation_json import write_evaluation
from ..instance_evaluator import InstanceEvaluator
from ..prediction_files import join_parts
from ..rank_predictions import RankPredictions
from .detections import read_detections
from .ground_truth import check_hierarchy, read_open_images
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

    Detections go to files in `output_dir` as they come. **All ranks must see the same
    `output_dir`**, or, if it is None, the same temporary folder. It leaves there
    ``open_images_bbox_results.json`` (detections in COCO's result format, not expanded) and
    ``per_category_bbox.json`` (group and AP at IoU 0.5 of each category). Files of an earlier
    evaluation are replaced.
    """

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
        """Read the ground truth in the main process.

        Args:
            dataset_name: a registered data set with the metadata `json_file`.
            distributed: evaluate the detections of all ranks in the main process; otherwise each
                process evaluates its own.
            output_dir: None keeps no files.
            training_categories: by contiguous class, with the groups. None takes
                `instance_count` of the categories of the evaluated file, and without them there
                are no groups.
            expand_ground_truth: None expands if the file has a hierarchy.
            expand_detections: also count a detection for all ancestors of its class.

        Raises:
            InputError: the ground truth cannot be read or has no hierarchy where one is needed,
                or there is not one count for each class.
        """
        super().__init__(
            dataset_name, distributed, output_dir, tasks=("bbox",), max_dets=sys.maxsize
        )
        if self._evaluates:
            self._truth = read_open_images(self._metadata.json_file, expand_ground_truth)
            is_subclass = self._truth.is_subclass
            check_hierarchy(self._truth.json_file, is_subclass, expand_detections)
            self._expansion = is_subclass if expand_detections else None
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

    def _join(self, ranks: Sequence[RankPredictions]) -> str | None:
        """Write the results file and return its path; None if there is nothing to evaluate."""
        image_ids = {image_id for rank in ranks for image_id in rank.image_ids}
        unknown = image_ids - self._truth.image_index.keys()
        if unknown:
            raise InputError(
                f"image_id {min(unknown)} of the predictions is not in {self._truth.json_file}: "
                "evaluate on the data set that was loaded"
            )
        path = os.path.join(self._directory, "open_images_bbox_results.json")
        parts = [part for rank in ranks for part in rank.parts.values()]
        join_parts(parts, path)
        for part in parts:
            os.remove(part.path)
        num_not_finite = sum(rank.num_not_finite for rank in ranks)
        if num_not_finite:
            logger.warning(f"Dropped {num_not_finite} detections without finite score and box")
        if not image_ids or not self._truth.instance_count:
            reason = "has no annotations" if image_ids else "is there, but no image was processed"
            logger.warning(f"{self._truth.json_file} {reason}: nothing to evaluate")
            return None
        if len(image_ids) < len(self._truth.image_index):
            logger.warning(
                f"Only {len(image_ids)} of the {len(self._truth.image_index)} images in "
                f"{self._truth.json_file} were processed; the others count as images without "
                "detections"
            )
        return path

    def _evaluate(self, results_file: str) -> dict[str, dict[str, float]]:
        truth = self._truth
        boxes, scores = read_detections(results_file, truth, self._expansion)
        ap = 100 * average_precision_by_class(
            boxes, scores, truth.boxes, truth.is_group_of, len(truth.categories)
        )
        categories, results = self._categories, {"AP50": mean_known(ap)}
        if categories.rule is not None:
            results |= {f"AP50_{name}": value for name, value in categories.means(ap).items()}
            logger.info(categories.rule)
        logger.info(f"Open Images box AP at IoU 0.5:\n{create_small_table(results)}")
        categories.write_table(
            os.path.join(self._directory, "per_category_bbox.json"),
            "AP",
            ap,
            instance_count=[truth.instance_count.get(i, 0) for i in categories.ids],
        )
        write_evaluation(
            self._output_dir,
            self._dataset_name,
            "OpenImagesEvaluator",
            {"bbox": results},
            categories,
            int(np.isfinite(ap).sum()),
        )
        return {"bbox": results}

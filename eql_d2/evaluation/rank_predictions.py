"""A model's detections in LVIS's result format, one rank's share of them."""

import dataclasses
import os
from collections.abc import Mapping, Sequence

import torch
from detectron2.evaluation.coco_evaluation import instances_to_coco_json
from detectron2.structures import Instances

from ..exceptions import InputError
from .prediction_files import PartFile, PartWriter, has_area

TASKS = ("bbox", "segm")
FIXED_AP = "_fixed_ap"  # ending of the streams without a limit per image
_GEOMETRY = {"bbox": "bbox", "segm": "segmentation"}


@dataclasses.dataclass(frozen=True)
class RankPredictions:
    """What one rank tells the main process: its files by stream, its images, its dropped rows."""

    parts: dict[str, PartFile]
    image_ids: list[int]
    num_not_finite: int

    def remove(self) -> None:
        """Remove the files."""
        for part in self.parts.values():
            os.remove(part.path)


@dataclasses.dataclass
class PredictionWriter:
    """Writes the detections of one rank as they come.

    The streams are "bbox" and "segm", and with `fixed_ap` also "bbox_fixed_ap" and
    "segm_fixed_ap". Results for "segm" have no box: with one, an engine would take the area of
    the box for that of the mask.

    Attributes:
        files: of this rank.
        tasks: of "bbox" and "segm"; None writes what the model predicts.
        max_dets: limit per image.
        fixed_ap: also write the streams without a limit.
        dataset_ids: category id of each contiguous class; None adds 1, as LVIS does.
    """

    files: PartWriter
    tasks: Sequence[str] | None
    max_dets: int
    fixed_ap: bool
    dataset_ids: Mapping[int, int] | None

    def __post_init__(self) -> None:
        self._image_ids: list[int] = []
        self._num_not_finite = 0

    def write(self, instances: Instances, image_id: int) -> None:
        """Write the detections of one image, on any device.

        Raises:
            InputError: a class the data set does not have, or no masks where "segm" is a task.
        """
        self._image_ids.append(image_id)
        has_masks = instances.has("pred_masks")
        tasks = self.tasks or (TASKS if has_masks else ("bbox",))
        if "segm" in tasks and len(instances) > 0 and not has_masks:
            raise InputError(
                "task 'segm' was asked for but the model predicts no masks: "
                "set MODEL.MASK_ON, or tasks=('bbox',)"
            )
        rows = instances_to_coco_json(self._best_first(instances.to("cpu")), image_id)
        for row in rows:
            row["category_id"] = self._dataset_id(row["category_id"])
        for task in tasks:
            keys = ("image_id", "category_id", _GEOMETRY[task], "score")
            task_rows = [{key: row[key] for key in keys} for row in rows]
            if self.fixed_ap:
                self.files.write(task + FIXED_AP, task_rows)
            # lvis-api counts detections without area for the limit and drops them afterwards.
            self.files.write(task, [row for row in task_rows[: self.max_dets] if has_area(row)])

    def close(self) -> RankPredictions:
        """Bring everything to disk; no more can be written."""
        return RankPredictions(self.files.close(), self._image_ids, self._num_not_finite)

    def _best_first(self, instances: Instances) -> Instances:
        """By falling score, equal scores in their order, and no more than will be written."""
        finite = instances.scores.isfinite() & instances.pred_boxes.tensor.isfinite().all(dim=1)
        if not finite.all():
            self._num_not_finite += int((~finite).sum())
            instances = instances[finite]
        order = torch.argsort(instances.scores, descending=True, stable=True)
        return instances[order if self.fixed_ap else order[: self.max_dets]]

    def _dataset_id(self, contiguous_id: int) -> int:
        if self.dataset_ids is None:
            return contiguous_id + 1
        if contiguous_id not in self.dataset_ids:
            raise InputError(
                f"the model predicts class {contiguous_id} but the data set has "
                f"{len(self.dataset_ids)} classes: set the model's number of classes to that"
            )
        return self.dataset_ids[contiguous_id]

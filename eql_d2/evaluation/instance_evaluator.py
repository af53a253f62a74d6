"""What the evaluators have in common whose detections go to disk as they come."""

import contextlib
import copy
import logging
import os
import tempfile
from collections.abc import Sequence

import detectron2.utils.comm as comm
from detectron2.data import MetadataCatalog
from detectron2.evaluation import DatasetEvaluator

from ..exceptions import InputError
from .prediction_files import PartWriter, join_parts, join_top_per_category
from .rank_predictions import FIXED_AP, PredictionWriter, RankPredictions

logger = logging.getLogger(__name__)


class InstanceEvaluator(DatasetEvaluator):
    """The way of the detections: each rank writes its own, the main process joins and evaluates.

    **All ranks must see the same `output_dir`**, or, if it is None, the same temporary folder.
    Detections without a finite score and box are dropped, with a warning; files of an earlier
    evaluation are replaced.

    A subclass says how its results files begin, reads `_truth`, with `json_file` and `image_ids`,
    and implements :meth:`_evaluate`; the last two in the main process only.

    Args:
        dataset_name: a registered data set with the metadata `json_file`.
        distributed: evaluate the detections of all ranks in the main process; otherwise each
            process evaluates its own.
        output_dir: None keeps no files.
        tasks, max_dets: see :class:`PredictionWriter`.
        fixed_ap_limit: also keep that many detections of each category, without `max_dets`.

    Raises:
        InputError: the data set has no annotation file.
    """

    _FILES: str

    def __init__(
        self,
        dataset_name: str,
        distributed: bool,
        output_dir: str | None,
        *,
        tasks: Sequence[str] | None,
        max_dets: int,
        fixed_ap_limit: int | None = None,
    ) -> None:
        self._dataset_name = dataset_name
        self._metadata = MetadataCatalog.get(dataset_name)
        if "json_file" not in self._metadata.as_dict():
            raise InputError(f"data set {dataset_name!r} has no json_file: is it registered?")
        self._distributed = distributed
        self._evaluates = comm.is_main_process() or not distributed
        self._output_dir = output_dir
        self._tasks = tasks
        self._max_dets = max_dets
        self._fixed_ap_limit = fixed_ap_limit
        self._writer: PredictionWriter | None = None
        self._scratch = contextlib.ExitStack()

    def _evaluate(self, tasks: Sequence[str]) -> dict[str, dict[str, float]]:
        """Evaluate the results files of the tasks."""
        raise NotImplementedError

    def reset(self) -> None:
        """Start afresh; what has been written but not evaluated is removed."""
        if self._writer is not None:
            self._writer.close().remove()
        self._directory = self._output_dir
        if self._output_dir is None:
            self._scratch.close()
            scratch = tempfile.TemporaryDirectory(prefix="evaluation_")
            self._directory = self._scratch.enter_context(scratch)
        os.makedirs(self._directory, exist_ok=True)
        self._writer = PredictionWriter(
            PartWriter(self._directory, comm.get_rank()),
            tasks=self._tasks,
            max_dets=self._max_dets,
            fixed_ap=self._fixed_ap_limit is not None,
            dataset_ids=self._dataset_ids(),
        )

    def process(self, inputs: Sequence[dict], outputs: Sequence[dict]) -> None:
        """Write the detections of some images to this rank's files.

        Args:
            inputs: what the model was given: dicts with "image_id".
            outputs: what it returned: dicts with "instances", an `Instances` with `pred_boxes`,
                `scores`, `pred_classes` and, if it segments, `pred_masks`, on any device.

        Raises:
            InputError: there are no "instances", no masks where "segm" is a task, or a class
                that the data set does not have.
        """
        for image, output in zip(inputs, outputs, strict=True):
            if "instances" not in output:
                raise InputError(
                    f"the model returns {sorted(output)} and no 'instances': "
                    f"{type(self).__name__} is for detection and instance segmentation"
                )
            self._writer.write(output["instances"], image["image_id"])

    def evaluate(self) -> dict[str, dict[str, float]]:
        """Join the files of all ranks and evaluate them in the main process.

        Returns:
            ``{task: {metric: percent, ...}, ...}``; empty on the other ranks, without ground
            truth annotations, and if no image was processed.

        Raises:
            InputError: the ranks do not share `output_dir`, or there are predictions for an
                image that the ground truth does not have.
        """
        if self._writer is None:
            raise RuntimeError("call reset() and process() before each evaluate()")
        own = self._writer.close()
        self._writer = None
        ranks = comm.gather(own, dst=0) if self._distributed else [own]
        try:
            tasks = self._join(ranks) if ranks else []
        finally:
            if self._distributed:
                comm.synchronize()  # before this, no rank removes or overwrites its files
        results = self._evaluate(tasks) if tasks else {}
        self._scratch.close()
        return copy.deepcopy(results)

    def _join(self, ranks: Sequence[RankPredictions]) -> Sequence[str]:
        """Write the results files of all tasks; return the tasks, none without an image."""
        image_ids = {image_id for rank in ranks for image_id in rank.image_ids}
        self._check_images(image_ids)
        if num_not_finite := sum(rank.num_not_finite for rank in ranks):
            logger.warning(f"Dropped {num_not_finite} detections without finite score and box")
        predicted = {stream.removesuffix(FIXED_AP) for rank in ranks for stream in rank.parts}
        tasks = self._tasks or sorted(predicted) or ["bbox"]

        def files(stream):
            parts = [rank.parts[stream] for rank in ranks if stream in rank.parts]
            return parts, self._results_file(stream)

        for task in tasks:
            join_parts(*files(task))
            if self._fixed_ap_limit is not None:
                join_top_per_category(*files(task + FIXED_AP), self._fixed_ap_limit)
        for rank in ranks:
            rank.remove()
        return tasks if image_ids else []

    def _check_images(self, image_ids: set[int]) -> None:
        """Compare the images that the model has seen with those of the ground truth."""
        json_file, known = self._truth.json_file, self._truth.image_ids
        if unknown := image_ids - known:
            raise InputError(
                f"image_id {min(unknown)} of the predictions is not in {json_file}: "
                "evaluate on the data set that was loaded"
            )
        if not image_ids:
            logger.warning(f"No image of {json_file} was processed: there is nothing to evaluate")
        elif len(image_ids) < len(known):
            logger.warning(
                f"Only {len(image_ids)} of the {len(known)} images in {json_file} were processed; "
                "the others count as images without detections"
            )

    def _results_file(self, stream: str) -> str:
        return os.path.join(self._directory, f"{self._FILES}_{stream}_results.json")

    def _dataset_ids(self) -> dict[int, int] | None:
        """Category id of each contiguous class; the metadata may come with loading the data."""
        contiguous_ids = self._metadata.get("thing_dataset_id_to_contiguous_id", {})
        return {index: category_id for category_id, index in contiguous_ids.items()} or None

"""What the evaluators have in common whose detections go to disk as they come."""

import copy
import os
import tempfile
from collections.abc import Sequence
from typing import Any

import detectron2.utils.comm as comm
from detectron2.data import MetadataCatalog
from detectron2.evaluation import DatasetEvaluator

from ..exceptions import InputError
from .rank_predictions import PredictionWriter, RankPredictions


class InstanceEvaluator(DatasetEvaluator):
    """The way of the detections: each rank writes its own, the main process joins and evaluates.

    **All ranks must see the same `output_dir`**, or, if it is None, the same temporary folder.
    A subclass implements :meth:`_join` and :meth:`_evaluate`, which only the main process calls.
    """

    def __init__(
        self,
        dataset_name: str,
        distributed: bool,
        output_dir: str | None,
        *,
        tasks: Sequence[str] | None,
        max_dets: int,
        fixed_ap: bool = False,
    ) -> None:
        """Args:
            dataset_name: a registered data set with the metadata `json_file`.
            distributed: evaluate the detections of all ranks in the main process; otherwise each
                process evaluates its own.
            output_dir: None keeps no files.
            tasks, max_dets, fixed_ap: see :class:`PredictionWriter`.

        Raises:
            InputError: the data set has no annotation file.
        """
        self._dataset_name = dataset_name
        self._metadata = MetadataCatalog.get(dataset_name)
        if "json_file" not in self._metadata.as_dict():
            raise InputError(f"data set {dataset_name!r} has no json_file: is it registered?")
        self._distributed = distributed
        self._evaluates = comm.is_main_process() or not distributed
        self._output_dir = output_dir
        self._written = {"tasks": tasks, "max_dets": max_dets, "fixed_ap": fixed_ap}
        self._writer: PredictionWriter | None = None
        self._scratch: tempfile.TemporaryDirectory | None = None

    def _join(self, ranks: Sequence[RankPredictions]) -> Any:
        """Join the files of the ranks; return what to evaluate, something false for nothing."""
        raise NotImplementedError

    def _evaluate(self, joined: Any) -> dict[str, dict[str, float]]:
        """Evaluate what :meth:`_join` returned."""
        raise NotImplementedError

    def reset(self) -> None:
        """Start afresh; what has been written but not evaluated is removed."""
        if self._writer is not None:
            self._writer.discard()
        self._directory = self._output_dir
        if self._output_dir is None:
            self._remove_scratch()
            self._scratch = tempfile.TemporaryDirectory(prefix="evaluation_")
            self._directory = self._scratch.name
        os.makedirs(self._directory, exist_ok=True)
        self._writer = PredictionWriter(
            self._directory, comm.get_rank(), dataset_ids=self._dataset_ids(), **self._written
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
            joined = self._join(ranks) if ranks else None
        finally:
            if self._distributed:
                comm.synchronize()  # before this, no rank removes or overwrites its files
        results = self._evaluate(joined) if joined else {}
        self._remove_scratch()
        return copy.deepcopy(results)

    def _dataset_ids(self) -> dict[int, int] | None:
        """Category id of each contiguous class; the metadata may come with loading the data."""
        contiguous_ids = self._metadata.get("thing_dataset_id_to_contiguous_id", {})
        return {index: category_id for category_id, index in contiguous_ids.items()} or None

    def _remove_scratch(self) -> None:
        if self._scratch is not None:
            self._scratch.cleanup()
            self._scratch = None

"""mIoU of semantic segmentation, also of head, common and tail classes."""

import json
import math
import os

import numpy as np
from detectron2.evaluation import SemSegEvaluator as Detectron2SemSegEvaluator
from detectron2.utils import comm

from ..data.image_files import read_label_map
from ..data.label_frequency import LabelFrequency, LabelGroups
from ..exceptions import InputError
from .frequency_groups import group_indices, mean_known
from .prediction_files import open_atomic

_NAMES = {"f": "head", "c": "common", "r": "tail"}


class SemSegEvaluator(Detectron2SemSegEvaluator):
    """Detectron2's evaluator that also gives mIoU_head, mIoU_common and mIoU_tail, in percent.

    Each is the mean over the classes of the group that occur in the evaluated data, nan if none
    does. The rule of the groups is logged with them; without groups the three are left out.

    In `output_dir` it leaves ``per_category_sem_seg.json``, the IoU of each class. The predictions
    are not kept: Detectron2's class holds the masks of the whole data set in memory.
    """

    def __init__(
        self,
        dataset_name: str,
        output_dir: str | None = None,
        *,
        frequency: LabelFrequency | None = None,
        label_groups: LabelGroups | None = None,
    ) -> None:
        """Read the list of the label maps.

        Args:
            dataset_name: a registered data set with the metadata `stuff_classes`.
            output_dir: None writes no file.
            frequency: counts of the training data, for the table of classes.
            label_groups: groups of the classes, see :func:`eql_d2.data.group_labels`.

        Raises:
            InputError: there is not one group for each class.
        """
        # No output_dir: the base class would write its files of predictions.
        super().__init__(dataset_name, sem_seg_loading_fn=self._read_labels)
        if label_groups is not None and len(label_groups.groups) != self._num_classes:
            raise InputError(
                f"label_groups has {len(label_groups.groups)} entries for {self._num_classes} "
                f"classes of data set {dataset_name!r}: count the data it was trained on"
            )
        self._table_dir = output_dir
        self._frequency = frequency
        self._label_groups = label_groups

    def _read_labels(self, path: str, dtype=int) -> np.ndarray:
        return read_label_map(path, self._num_classes, self._ignore_label).astype(dtype)

    def encode_json_sem_seg(self, sem_seg: np.ndarray, input_file_name: str) -> list:
        return []

    def evaluate(self) -> dict | None:
        """Join all processes and compute, in the main process; the others get None."""
        results = super().evaluate()
        if not comm.is_main_process():
            return None
        metrics = results["sem_seg"]
        iou = np.array([metrics[f"IoU-{name}"] for name in self._class_names], dtype=float)
        if self._label_groups is None:
            self._logger.info("No mIoU by group: the training label maps are not known")
        else:
            members = group_indices(self._label_groups.groups)
            by_group = {f"mIoU_{n}": mean_known(iou[members[g]]) for g, n in _NAMES.items()}
            # Beside mIoU, before the long list of classes
            results["sem_seg"] = {"mIoU": metrics["mIoU"], **by_group} | metrics
            values = ", ".join(f"{name} {value:.2f}" for name, value in by_group.items())
            self._logger.info(f"{values} ({self._label_groups.rule})")
        if self._table_dir:
            self._write_table(iou)
        return results

    def _write_table(self, iou: np.ndarray) -> None:
        records = []
        for i, name in enumerate(self._class_names):
            record = {"id": i, "name": name, "group": None}
            if self._label_groups is not None:
                record["group"] = self._label_groups.groups[i]
            if self._frequency is not None:
                record["image_count"] = int(self._frequency.image_count[i])
                record["pixel_share"] = float(self._frequency.pixel_share[i])
            record["IoU"] = None if math.isnan(iou[i]) else float(iou[i])
            records.append(record)
        os.makedirs(self._table_dir, exist_ok=True)
        path = os.path.join(self._table_dir, "per_category_sem_seg.json")
        with open_atomic(path) as file:
            json.dump(records, file, indent=1)

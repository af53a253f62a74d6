"""mIoU of semantic segmentation, also of head, common and tail classes."""

import base64
import io

import numpy as np
from detectron2.data import MetadataCatalog
from detectron2.evaluation import SemSegEvaluator as Detectron2SemSegEvaluator
from detectron2.utils import comm
from PIL import Image

from ..data import LABEL_MAP_NAMES, CategoryTable
from ..data.image_files import MAX_IMAGE_PIXELS, read_label_map
from .evaluated_categories import EvaluatedCategories
from .evaluation_json import write_evaluation
from .example_images import ExampleImages


class SemSegEvaluator(Detectron2SemSegEvaluator):
    """Detectron2's evaluator that also gives mIoU_head, mIoU_common and mIoU_tail, in percent.

    Each is the mean over the classes of the group that occur in the evaluated data, nan if none
    does; so does mIoU, and the log says over how many classes it is. The rule of the groups is
    logged with them; without groups the three are left out.

    In `output_dir` it leaves ``per_category_sem_seg.json``, the IoU of each class,
    ``evaluation.json``, and ``examples_sem_seg.json``: of each class the test image that shows most
    of it, with truth and prediction. The other predictions are not kept: Detectron2's class holds
    the masks of the whole data set in memory.

    Args:
        dataset_name: a registered data set with the metadata `stuff_classes`; its list is read.
        output_dir: None writes no file.
        training_categories: by class, with the rule of the groups.

    Raises:
        InputError: the training data have another number of classes.
    """

    def __init__(
        self,
        dataset_name: str,
        output_dir: str | None = None,
        *,
        training_categories: CategoryTable | None = None,
    ) -> None:
        # No output_dir: the base class would write its files of predictions.
        super().__init__(dataset_name, sem_seg_loading_fn=self._read_labels)
        metadata = MetadataCatalog.get(dataset_name)
        self._label_index = metadata.get("label_index")
        self._max_image_pixels = metadata.get("max_image_pixels", MAX_IMAGE_PIXELS)
        self._table_dir = output_dir
        self._pixel_share = training_categories and training_categories.counts.pixel_share
        self._categories = EvaluatedCategories.of_classes(self._class_names, training_categories)

    def _read_labels(self, path: str, dtype=int) -> np.ndarray:
        max_pixels, index = self._max_image_pixels, self._label_index
        labels = read_label_map(path, self._num_classes, self._ignore_label, max_pixels, index)
        self._labels = labels.astype(dtype)  # in which Detectron2 sets ignored pixels to C
        return self._labels

    def reset(self) -> None:
        super().reset()
        self._examples = ExampleImages()

    def encode_json_sem_seg(self, sem_seg: np.ndarray, input_file_name: str) -> list:
        """Called by Detectron2 with each prediction, after it has read the labels of the image."""
        labels = self._labels
        if self._table_dir:
            count = np.bincount(labels.ravel(), minlength=self._num_classes)[: self._num_classes]
            shares = {int(k): float(count[k] / labels.size) for k in np.flatnonzero(count)}
            self._examples.offer(
                shares,
                input_file_name,
                lambda: {"truth": _as_png(labels), "prediction": _as_png(sem_seg)},
            )
        return []

    def evaluate(self) -> dict | None:
        """Join all processes and compute, in the main process; the others get None."""
        self._examples.write(self._table_dir, "sem_seg")
        results = super().evaluate()
        if not comm.is_main_process():
            return None
        metrics = results["sem_seg"]
        iou = np.array([metrics[f"IoU-{name}"] for name in self._class_names], dtype=float)
        num_tested = int((self._conf_matrix[:-1, :-1].sum(0) > 0).sum())
        over = f"mIoU {metrics['mIoU']:.2f} over the {num_tested} of {len(iou)} classes that occur"
        if self._categories.rule is None:
            self._logger.info(f"{over}. No mIoU by group: the training label maps are not known")
        else:
            means = self._categories.means(iou)
            names = LABEL_MAP_NAMES.items()
            by_group = {f"mIoU_{name}": means[group] for group, name in names if group in means}
            # Beside mIoU, before the long list of classes
            results["sem_seg"] = metrics = {"mIoU": metrics["mIoU"], **by_group} | metrics
            values = ", ".join(f"{name} {value:.2f}" for name, value in by_group.items())
            self._logger.info(f"{over}. {values} ({self._categories.rule})")
        folder, categories = self._table_dir, self._categories
        columns = {} if self._pixel_share is None else {"pixel_share": self._pixel_share.tolist()}
        categories.write_table(folder, "sem_seg", "IoU", iou, **columns)
        write_evaluation(
            folder, self._dataset_name, "SemSegEvaluator", results, categories, num_tested
        )
        return results


def _as_png(labels: np.ndarray) -> str:
    """A label map as PNG of 16 bits in base64; pixels without a label are C."""
    buffer = io.BytesIO()
    Image.fromarray(labels.astype(np.uint16)).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()

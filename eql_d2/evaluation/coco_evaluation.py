"""COCO evaluation by frequency group."""

from collections import Counter
from collections.abc import Sequence
from unittest import mock

import numpy as np
from detectron2.evaluation import COCOEvaluator as Detectron2COCOEvaluator
from detectron2.evaluation import coco_evaluation
from detectron2.utils import comm
from detectron2.utils.logger import create_small_table
from pycocotools.coco import COCO

from ..data import CategoryTable, fill_absent_fields
from ..data.validation.blemishes import take_blemishes
from ..files import read_json
from .evaluated_categories import EvaluatedCategories, average_precision_by_category
from .evaluation_json import write_evaluation
from .lvis.ground_truth import AREA_OUTSIDE_ALL_RANGES


class _AnnotationFile(COCO):
    """Read as for training: pycocotools takes no byte order mark, which Windows writes."""

    def __init__(self, path: str):
        super().__init__()
        self.dataset = read_json(path)
        self.createIndex()


class COCOEvaluator(Detectron2COCOEvaluator):
    """Detectron2's COCO evaluator that also gives APr, APc and APf.

    Each is the mean over the AP of the group's categories, nan if none has ground truth. The
    groups are those of `training_categories` or the `frequency` of the categories in the annotation
    file; with neither, the three are left out. The file may have some of the model's categories
    only, and leave out `iscrowd` and `area`: they are filled as COCO defines them. The ids of its
    annotations decide nothing: pycocotools takes a match with id 0 for no match, so they are
    numbered anew. Small blemishes are taken as in training, see :func:`take_blemishes`. A detection
    of an annotation with `ignore` counts neither way; pycocotools overwrites the field.

    In `output_dir` it also leaves ``per_category_{task}.json``, the AP of each category, and
    ``evaluation.json``.

    Args:
        dataset_name: a registered data set, see Detectron2's class; so are `tasks`, `distributed`,
            `output_dir` and `kwargs`.
        training_categories: by contiguous class.

    Raises:
        InputError: the training data have another number of categories.
    """

    def __init__(
        self,
        dataset_name: str,
        tasks: Sequence[str] | None = None,
        distributed: bool = True,
        output_dir: str | None = None,
        *,
        training_categories: CategoryTable | None = None,
        **kwargs,
    ) -> None:
        with mock.patch.object(coco_evaluation, "COCO", _AnnotationFile):
            super().__init__(dataset_name, tasks, distributed, output_dir, **kwargs)
        take_blemishes(self._coco_api.dataset)
        annotations = self._coco_api.dataset.get("annotations", ())
        fill_absent_fields(annotations, self._coco_api.dataset["images"])
        for number, annotation in enumerate(annotations, 1):
            annotation["id"] = number
            if annotation.get("ignore"):
                _ignore(annotation)
        self._coco_api.createIndex()
        self._do_evaluation = bool(annotations)  # an empty list is no ground truth either
        self._count = Counter(a["category_id"] for a in annotations if _is_counted(a))
        if num_ignored := sum(bool(a.get("ignore")) for a in annotations):
            self._logger.info(
                f"{num_ignored} of {len(annotations)} annotations of {dataset_name} have ignore: "
                "detections of them count neither way"
            )
        cat_ids = sorted(self._coco_api.getCatIds())
        self._dataset_name = dataset_name
        contiguous_ids = self._metadata.get("thing_dataset_id_to_contiguous_id")
        # Without the metadata, Detectron2 takes the class for the category id.
        contiguous_ids = contiguous_ids or {i: i for i in range(len(cat_ids))}
        self._categories = EvaluatedCategories.of_file(
            self._coco_api.loadCats(cat_ids),
            {index: category_id for category_id, index in contiguous_ids.items()},
            training_categories,
            self._metadata.get("class_image_count", ()),
        )

    def evaluate(self, img_ids=None):
        results = super().evaluate(img_ids)
        if results and (comm.is_main_process() or not self._distributed):
            folder, evaluator = self._output_dir, "COCOEvaluator (pycocotools)"
            write_evaluation(
                folder, self._dataset_name, evaluator, results, self._categories, len(self._count)
            )
        return results

    def _derive_coco_results(self, coco_eval, iou_type, class_names=None) -> dict[str, float]:
        categories = self._categories
        if class_names is not None and len(class_names) != len(categories.ids):
            class_names = list(map(str, categories.names))  # of the file, not of the model
        results = super()._derive_coco_results(coco_eval, iou_type, class_names)
        precision = np.full((1, 1, len(categories.ids)), -1.0)
        if coco_eval is not None:
            # (IoU thresholds, recalls, categories, areas, limits): all areas, the last limit
            precision = coco_eval.eval["precision"][:, :, :, 0, -1]
        if categories.rule is not None:
            by_group = categories.mean_precisions(precision)
            table = create_small_table(by_group)
            self._logger.info(f"{iou_type} AP by group, {categories.rule}:\n{table}")
            results |= by_group
        categories.write_table(
            *(self._output_dir, iou_type, "AP", average_precision_by_category(precision)),
            instance_count=[self._count[category_id] for category_id in categories.ids],
        )
        return results


def _ignore(annotation: dict) -> None:
    if annotation.get("keypoints"):
        annotation["iscrowd"] = 1  # the area is the scale of their distances
    else:
        annotation["area"] = AREA_OUTSIDE_ALL_RANGES


def _is_counted(annotation: dict) -> bool:
    return not (annotation.get("iscrowd") or annotation.get("ignore"))

"""COCO evaluation by frequency group."""

import os
from collections import Counter
from collections.abc import Sequence

import numpy as np
from detectron2.evaluation import COCOEvaluator as Detectron2COCOEvaluator
from detectron2.utils.logger import create_small_table

from .frequency_groups import (
    average_precision_by_category,
    group_indices,
    groups_of_categories,
    image_count_by_id,
    mean_precision,
    write_category_table,
)


class COCOEvaluator(Detectron2COCOEvaluator):
    """Detectron2's COCO evaluator that also gives APr, APc and APf.

    Each is the mean over the AP of the group's categories, nan if none has ground truth. The
    groups are `category_groups` or the `frequency` of the categories in the annotation file;
    with neither, the three are left out.

    In `output_dir` it also leaves ``per_category_{task}.json``, the AP of each category.
    """

    def __init__(
        self,
        dataset_name: str,
        tasks: Sequence[str] | None = None,
        distributed: bool = True,
        output_dir: str | None = None,
        *,
        category_groups: Sequence[str] | None = None,
        image_count: Sequence[int] | None = None,
        **kwargs,
    ) -> None:
        """Read the ground truth.

        Args:
            dataset_name: a registered data set, see Detectron2's class; so are `tasks`,
                `distributed`, `output_dir` and `kwargs`.
            category_groups: "r", "c" or "f" for each contiguous class.
            image_count: training images of each contiguous class, for the table of categories.

        Raises:
            InputError: `category_groups` has another name or another length.
        """
        super().__init__(dataset_name, tasks, distributed, output_dir, **kwargs)
        cat_ids = sorted(self._coco_api.getCatIds())
        self._categories = self._coco_api.loadCats(cat_ids)
        contiguous_ids = self._metadata.get("thing_dataset_id_to_contiguous_id")
        # Without the metadata, Detectron2 takes the class for the category id.
        dataset_ids = {i: i for i in range(len(cat_ids))}
        if contiguous_ids:
            dataset_ids = {index: cat_id for cat_id, index in contiguous_ids.items()}
        self._groups = groups_of_categories(self._categories, category_groups, dataset_ids)
        self._image_count = image_count_by_id(
            self._categories, self._metadata, image_count, dataset_ids
        )

    def _derive_coco_results(self, coco_eval, iou_type, class_names=None) -> dict[str, float]:
        results = super()._derive_coco_results(coco_eval, iou_type, class_names)
        precision = np.full((1, 1, len(self._categories)), -1.0)
        if coco_eval is not None:
            # (IoU thresholds, recalls, categories, areas, limits): all areas, the last limit
            precision = coco_eval.eval["precision"][:, :, :, 0, -1]
        if any(self._groups):
            by_group = {
                f"AP{name}": mean_precision(precision[:, :, indices])
                for name, indices in group_indices(self._groups).items()
            }
            self._logger.info(f"{iou_type} AP by group:\n{create_small_table(by_group)}")
            results |= by_group
        if self._output_dir:
            annotations = self._coco_api.dataset["annotations"]
            write_category_table(
                os.path.join(self._output_dir, f"per_category_{iou_type}.json"),
                self._categories,
                self._groups,
                average_precision_by_category(precision),
                image_count=self._image_count,
                instance_count=Counter(
                    a["category_id"] for a in annotations if not a.get("iscrowd")
                ),
            )
        return results

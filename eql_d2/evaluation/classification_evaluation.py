"""Accuracy of image classification, also by how many training images a class has."""

import json
import logging
import os
from collections.abc import Sequence

import numpy as np
import torch
from detectron2.data import MetadataCatalog
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm
from detectron2.utils.logger import create_small_table
from torch import Tensor

from ..exceptions import InputError
from .frequency_groups import group_indices, groups_of_categories, mean_known
from .prediction_files import open_atomic

logger = logging.getLogger(__name__)

_NAMES = {"f": "many", "c": "medium", "r": "few"}


class ClassificationEvaluator(DatasetEvaluator):
    """Top-1 and top-5 accuracy, and the mean accuracy of many-, medium- and few-shot classes.

    ``top1`` and ``top5`` are shares of the images; ``mean_class`` is the mean of the accuracies of
    the classes, and ``many``, ``medium`` and ``few`` are that of their classes ("f", "c" and "r" of
    `category_groups`). Only classes that have test images count; a group without any is nan. On a
    test set with the same number of images of each class, ``mean_class`` equals ``top1``. With
    less than five classes, ``top5`` is 100. All in percent.

    Of equal scores that of the lower class comes first. An image with a score that is not a number
    counts as wrong, and a warning says how many there were.

    In `output_dir` it leaves ``per_category_classification.json``: for each class its training
    images where they are known, its test images and its accuracy.
    """

    def __init__(
        self,
        dataset_name: str,
        output_dir: str | None = None,
        *,
        image_count: Sequence[int] | None = None,
        category_groups: Sequence[str] | None = None,
    ) -> None:
        """Take the classes from the metadata; no file is read.

        Args:
            dataset_name: a registered data set with the metadata `thing_classes`.
            output_dir: None writes no file.
            image_count: training images of each class, for the table of classes.
            category_groups: "r", "c" or "f" for each class. Without them there are no results of
                groups.

        Raises:
            InputError: `category_groups` has another name or another length.
        """
        self._class_names = list(MetadataCatalog.get(dataset_name).thing_classes)
        self._output_dir = output_dir
        self._image_count = image_count
        self._has_groups = category_groups is not None
        identity = {i: i for i in range(len(self._class_names))}
        categories = [{"id": i} for i in identity]
        self._groups = groups_of_categories(categories, category_groups, identity)
        self.reset()

    def reset(self) -> None:
        # Label and rank of each image; the scores of all would be N x C numbers.
        self._results: list[tuple[int, int]] = []
        self._num_not_a_number = 0

    def process(self, inputs: list[dict], outputs: list[dict]) -> None:
        """Note where the label stands among the scores.

        Args:
            inputs: dicts with "label".
            outputs: dicts with "scores", (C,).

        Raises:
            InputError: an image has no label, or there is not one score for each class.
        """
        num_classes = len(self._class_names)
        for image, output in zip(inputs, outputs, strict=True):
            scores = output["scores"].cpu()
            if "label" not in image:
                raise InputError(f"image {image.get('file_name')!r} has no label: give it one")
            if scores.shape != (num_classes,):
                raise InputError(
                    f"the model gives scores of shape {tuple(scores.shape)} for a data set of "
                    f"{num_classes} classes: set MODEL.CLASSIFIER.NUM_CLASSES {num_classes}"
                )
            rank = rank_of_label(scores, image["label"])
            if scores.isnan().any():
                rank, self._num_not_a_number = num_classes, self._num_not_a_number + 1
            self._results.append((image["label"], rank))

    def evaluate(self) -> dict[str, dict[str, float]]:
        """Join all processes and compute, in the main process; the others get an empty dict."""
        ranks = comm.gather((self._results, self._num_not_a_number))
        if not comm.is_main_process():
            return {}
        results = [result for part, _ in ranks for result in part]
        if not results:
            logger.warning("No image was processed: nothing to evaluate")
            return {}
        if num_not_a_number := sum(count for _, count in ranks):
            logger.warning(
                f"{num_not_a_number} of {len(results)} images have scores that are not numbers: "
                "they count as wrong"
            )
        labels, label_ranks = np.array(results).T
        image_count = np.bincount(labels, minlength=len(self._class_names))
        num_correct = np.bincount(labels[label_ranks == 0], minlength=len(self._class_names))
        with np.errstate(invalid="ignore"):
            accuracy = 100 * num_correct / image_count  # nan for a class without images
        metrics = {
            "top1": 100 * float(np.mean(label_ranks < 1)),
            "top5": 100 * float(np.mean(label_ranks < min(5, len(self._class_names)))),
            **self._accuracy_by_group(accuracy),
            "mean_class": mean_known(accuracy),
        }
        logger.info(f"Accuracy of {len(results)} images:\n{create_small_table(metrics)}")
        if self._output_dir:
            self._write_table(accuracy, image_count)
        return {"classification": metrics}

    def _accuracy_by_group(self, accuracy: np.ndarray) -> dict[str, float]:
        if not self._has_groups:
            logger.info(
                "No many-, medium- and few-shot accuracy: the training images are not known"
            )
            return {}
        members = group_indices(self._groups)
        sizes = {name: len(members[group]) for group, name in _NAMES.items()}
        tested = {name: int((~np.isnan(accuracy[members[g]])).sum()) for g, name in _NAMES.items()}
        logger.info(
            "Classes by training images (of them with test images): "
            + ", ".join(f"{name} {sizes[name]} ({tested[name]})" for name in sizes)
        )
        return {name: mean_known(accuracy[members[group]]) for group, name in _NAMES.items()}

    def _write_table(self, accuracy: np.ndarray, image_count: np.ndarray) -> None:
        records = []
        for i, (name, group) in enumerate(zip(self._class_names, self._groups)):
            record = {"id": i, "name": name, "group": group}
            if self._image_count is not None:
                record["image_count"] = int(self._image_count[i])
            record["instance_count"] = int(image_count[i])
            record["accuracy"] = None if np.isnan(accuracy[i]) else float(accuracy[i])
            records.append(record)
        os.makedirs(self._output_dir, exist_ok=True)
        path = os.path.join(self._output_dir, "per_category_classification.json")
        with open_atomic(path) as file:
            json.dump(records, file, indent=1)


def rank_of_label(scores: Tensor, label: int) -> int:
    """How many classes come before the label: those of larger score, and of the same score those of
    lower index. 0 is a correct classification.

    Args:
        scores: (C,), numbers.
        label: 0..C-1.
    """
    own = scores[label]
    larger = torch.count_nonzero(scores > own)
    return int(larger + torch.count_nonzero(scores[:label] == own))

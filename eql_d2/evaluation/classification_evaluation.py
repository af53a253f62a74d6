"""Accuracy of image classification, also by how many training images a class has."""

import functools
import itertools
import logging

import numpy as np
import torch
from detectron2.data import MetadataCatalog
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm
from detectron2.utils.logger import create_small_table
from torch import Tensor

from ..data import SHOT_NAMES, WITHOUT_IMAGE, CategoryTable
from ..exceptions import InputError
from .evaluated_categories import EvaluatedCategories, mean_known
from .evaluation_json import write_evaluation
from .example_images import ExampleImages

logger = logging.getLogger(__name__)


class ClassificationEvaluator(DatasetEvaluator):
    """Top-1 and top-5 accuracy, and the mean accuracy of many-, medium- and few-shot classes.

    ``top1`` and ``top5`` are shares of the images; ``mean_class`` is the mean of the accuracies of
    the classes, and ``many``, ``medium`` and ``few`` are that of their classes ("f", "c" and "r" of
    the training data). Only classes that have test images count, and the log says how many that
    are; a group without any is nan. On a test set with the same number of images of each class,
    ``mean_class`` equals ``top1``. With less than five classes, ``top5`` is 100. All in percent.

    Of equal scores that of the lower class comes first. An image with a score that is not a number
    counts as wrong, and a warning says how many there were.

    In `output_dir` it leaves ``per_category_classification.json``: for each class its training
    images where they are known, its test images and its accuracy, ``evaluation.json``, and
    ``examples_classification.json``: of each class the first test image, by file name, with the
    five classes of the highest scores.

    Args:
        dataset_name: a registered data set with the metadata `thing_classes`; no file is read.
        output_dir: None writes no file.
        training_categories: by class. Without them there are no results of groups.

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
        self._class_names = list(MetadataCatalog.get(dataset_name).thing_classes)
        self._output_dir = output_dir
        self._dataset_name = dataset_name
        self._categories = EvaluatedCategories.of_classes(self._class_names, training_categories)
        self.reset()

    def reset(self) -> None:
        # Label and rank of each image; the scores of all would be N x C numbers. Where they are
        # not numbers the rank is C, behind all classes.
        self._results: list[tuple[int, int]] = []
        self._examples = ExampleImages()

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
            is_number = not scores.isnan().any()
            rank = rank_of_label(scores, image["label"]) if is_number else num_classes
            self._results.append((image["label"], rank))
            if self._output_dir and "file_name" in image:
                shares, is_known = {image["label"]: 1.0}, bool(is_number)
                self._examples.offer(
                    shares, image["file_name"], functools.partial(_best_classes, scores, is_known)
                )

    def evaluate(self) -> dict[str, dict[str, float]]:
        """Join all processes and compute, in the main process; the others get an empty dict."""
        results = list(itertools.chain.from_iterable(comm.gather(self._results)))
        self._examples.write(self._output_dir, "classification")
        if not comm.is_main_process():
            return {}
        if not results:
            logger.warning("No image was processed: nothing to evaluate")
            return {}
        num_classes, (labels, label_ranks) = len(self._class_names), np.array(results).T
        if num_not_a_number := (label_ranks == num_classes).sum():
            logger.warning(
                f"{num_not_a_number} of {len(results)} images have scores that are not numbers: "
                "they count as wrong"
            )
        image_count = np.bincount(labels, minlength=num_classes)
        num_correct = np.bincount(labels[label_ranks == 0], minlength=num_classes)
        with np.errstate(invalid="ignore"):
            accuracy = 100 * num_correct / image_count  # nan for a class without images
        metrics = {
            "top1": 100 * float(np.mean(label_ranks < 1)),
            "top5": 100 * float(np.mean(label_ranks < min(5, num_classes))),
            **self._accuracy_by_group(accuracy),
            "mean_class": mean_known(accuracy),
        }
        num_tested = int((image_count > 0).sum())
        logger.info(
            f"Accuracy of {len(results)} images; means over the {num_tested} of {num_classes} "
            f"classes that have any:\n{create_small_table(metrics)}"
        )
        folder, categories, counts = self._output_dir, self._categories, image_count.tolist()
        categories.write_table(
            folder, "classification", "accuracy", accuracy, instance_count=counts
        )
        results, name = {"classification": metrics}, "ClassificationEvaluator"
        write_evaluation(folder, self._dataset_name, name, results, categories, num_tested)
        return results

    def _accuracy_by_group(self, accuracy: np.ndarray) -> dict[str, float]:
        if self._categories.rule is None:
            logger.info("No many-, medium- and few-shot accuracy: training images are not known")
            return {}
        groups = np.array(self._categories.groups)
        tested = ", ".join(
            f"{name} {index.sum()} ({(~np.isnan(accuracy[index])).sum()})"
            for group, name in SHOT_NAMES.items()
            if (index := groups == group).any() or group != WITHOUT_IMAGE
        )
        logger.info(f"Classes by training images (of them with test images): {tested}")
        means = self._categories.means(accuracy)
        return {name: means[group] for group, name in SHOT_NAMES.items() if group in means}


def _best_classes(scores: Tensor, is_known: bool) -> dict[str, list]:
    """Class and score of the five of the highest scores; none where they are not numbers."""
    best = torch.sort(scores, descending=True, stable=True).indices[: 5 if is_known else 0]
    return {"best": [[int(index), float(scores[index])] for index in best]}


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

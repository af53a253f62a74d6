"""Detections read back from the results file, as arrays."""

import json

import numpy as np

from .ground_truth import OpenImagesTruth, expand_classes
from .matching import LabelledBoxes


def read_detections(
    results_file: str, truth: OpenImagesTruth, expansion: np.ndarray | None
) -> tuple[LabelledBoxes, np.ndarray]:
    """The expanded detections of the classes to be evaluated in their images, and their scores.

    Args:
        results_file: of `join_parts`.
        truth: with all images of the file.
        expansion: bool (C, C), [i, j] if a detection of i is also one of j; None expands nothing.
    """
    class_of = {category["id"]: i for i, category in enumerate(truth.categories)}
    all_labels, all_values = [np.zeros((0, 2), dtype=np.int64)], [np.zeros((0, 5))]
    with open(results_file, encoding="utf-8") as file:
        for line in file:  # `join_parts` writes one for each image
            rows = json.loads(f"[{line.strip().strip('[],')}]")
            # The truth may know some of the model's classes only.
            rows = [row for row in rows if row["category_id"] in class_of]
            if not rows:
                continue
            image = truth.image_index[rows[0]["image_id"]]
            classes = np.array([class_of[row["category_id"]] for row in rows])
            source, classes = expand_classes(classes, expansion)
            if truth.verified is not None:
                keep = truth.verified[image, classes]
                source, classes = source[keep], classes[keep]
            values = np.array([[*row["bbox"], row["score"]] for row in rows])[source]
            all_labels.append(np.column_stack([np.full_like(classes, image), classes]))
            all_values.append(values)
    labels, values = np.concatenate(all_labels), np.concatenate(all_values)
    values[:, 2:4] += values[:, :2]
    return LabelledBoxes(labels[:, 0], labels[:, 1], values[:, :4]), values[:, 4]

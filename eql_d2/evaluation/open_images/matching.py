"""Matching and average precision of the Open Images Challenge, on arrays.

Written after https://storage.googleapis.com/openimages/web/evaluation.html and its official
implementation, `OpenImagesChallengeEvaluator` of the TensorFlow Object Detection API.
"""

from typing import NamedTuple

import numpy as np

_MAX_PAIRS = 2_000_000  # pairs of boxes compared at once: about 200 MB


class LabelledBoxes(NamedTuple):
    """Boxes of several images.

    Attributes:
        image: int64 (N,), index of the image.
        category: int64 (N,), contiguous class.
        corners: float64 (N, 4), x0, y0, x1, y1; of any unit, the same within an image.
    """

    image: np.ndarray
    category: np.ndarray
    corners: np.ndarray

    def take(self, indices: np.ndarray) -> "LabelledBoxes":
        """The boxes at the indices, or where a mask is true."""
        return LabelledBoxes(*(values[indices] for values in self))


def average_precision_by_class(
    detections: LabelledBoxes,
    scores: np.ndarray,
    truth: LabelledBoxes,
    is_group_of: np.ndarray,
    num_classes: int,
    threshold: float = 0.5,
) -> np.ndarray:
    """AP of each class in [0, 1], float64 (C,); nan for a class without ground truth.

    As the challenge does it:

    - A detection belongs to the one box of its image and class that it overlaps most (IoU). It is
      a true positive if that is at least `threshold` and no detection of a higher score has it.
    - Any other detection that lies in a group-of box by at least `threshold` of its own area
      belongs to the group-of box it lies in most. Of these the one of the highest score is a
      true positive and the others do not count.
    - All the rest are false positives. Each box, group-of or not, is one object to be found.

    Of equal scores the detection of the earlier image, and within it the earlier one, goes first.

    Args:
        detections: boxes to be evaluated, in any order of the images.
        scores: float (N,) of the detections.
        truth: boxes of the ground truth.
        is_group_of: bool (M,) of the ground truth.
        num_classes: C.
        threshold: of both overlaps.
    """
    order = np.lexsort((detections.image, -scores))
    detections = detections.take(order)
    box, overlap = _best_overlaps(detections, truth.take(~is_group_of), num_classes, of_own=False)
    is_true = np.zeros(len(order), dtype=bool)
    is_true[_first_of_each(box, overlap >= threshold)] = True

    box, overlap = _best_overlaps(detections, truth.take(is_group_of), num_classes, of_own=True)
    in_group = (overlap >= threshold) & ~is_true
    best_of_group = _first_of_each(box, in_group)
    is_true[best_of_group] = True
    counts = ~in_group
    counts[best_of_group] = True

    num_objects = np.bincount(truth.category, minlength=num_classes)
    category, is_true = detections.category[counts], is_true[counts]
    order = np.argsort(category, kind="stable")
    ends = np.searchsorted(category[order], np.arange(1, num_classes))
    return np.array(
        [
            average_precision(hits, objects) if objects else np.nan
            for hits, objects in zip(np.split(is_true[order], ends), num_objects)
        ]
    )


def average_precision(is_true: np.ndarray, num_objects: int) -> float:
    """Area under the precision-recall curve made monotonic, as PASCAL VOC has it since 2010.

    Args:
        is_true: bool (N,), by falling score.
        num_objects: number of objects to be found, at least 1.
    """
    precision = np.cumsum(is_true) / np.arange(1, len(is_true) + 1)
    best_later = np.maximum.accumulate(precision[::-1])[::-1]
    return float(best_later[is_true].sum() / num_objects)


def _best_overlaps(
    detections: LabelledBoxes, truth: LabelledBoxes, num_classes: int, *, of_own: bool
) -> tuple[np.ndarray, np.ndarray]:
    """For each detection the box of its image and class that it overlaps most, and how much.

    Of equal overlaps the first box is taken. Without such a box the overlap is -1.

    Args:
        of_own: intersection over the detection's own area instead of over the union.
    """
    key = truth.image * num_classes + truth.category
    order = np.argsort(key, kind="stable")
    detection_key = detections.image * num_classes + detections.category
    start = np.searchsorted(key[order], detection_key, side="left")
    count = np.searchsorted(key[order], detection_key, side="right") - start
    best_box = np.full(len(start), -1, dtype=np.int64)
    best_overlap = np.full(len(start), -1.0)

    some = np.flatnonzero(count)
    chunk = np.cumsum(count[some]) // _MAX_PAIRS
    for chosen in np.split(some, np.flatnonzero(np.diff(chunk)) + 1):
        if not len(chosen):
            continue
        length = count[chosen]
        first_pair = np.cumsum(length) - length
        offset = np.arange(length.sum()) - np.repeat(first_pair, length)
        box = order[np.repeat(start[chosen], length) + offset]
        overlap = _overlaps(
            detections.corners[np.repeat(chosen, length)], truth.corners[box], of_own
        )
        best = np.maximum.reduceat(overlap, first_pair)
        is_best = np.flatnonzero(overlap == np.repeat(best, length))
        pair = is_best[np.searchsorted(is_best, first_pair)]
        best_box[chosen], best_overlap[chosen] = box[pair], best
    return best_box, best_overlap


def _overlaps(corners: np.ndarray, other: np.ndarray, of_own: bool) -> np.ndarray:
    sides = np.minimum(corners[:, 2:], other[:, 2:]) - np.maximum(corners[:, :2], other[:, :2])
    intersection = np.maximum(sides, 0).prod(axis=1)
    area = (corners[:, 2:] - corners[:, :2]).prod(axis=1)
    if of_own:
        return intersection / area
    return intersection / (area + (other[:, 2:] - other[:, :2]).prod(axis=1) - intersection)


def _first_of_each(group: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Index of the first entry of each group among those where the mask is true."""
    chosen = np.flatnonzero(mask)
    return chosen[np.unique(group[chosen], return_index=True)[1]]

"""AP of each class among the detections of the test images."""

import numpy as np
import torch

from .head import Head
from .rois import TestImages


@torch.no_grad()
def average_precisions(head: Head, images: TestImages, most: int, batch: int = 64) -> np.ndarray:
    """AP of each class in percent, float64 (C,), at one overlap: boxes are not learned.

    Args:
        head: in evaluation mode.
        images: to detect in.
        most: detections of an image that count, those with the highest scores of all classes.
        batch: images at a time.
    """
    size = images.evaluated.shape[1]
    objects, found = np.zeros(size, int), []
    for image_of, rois in images.batches(batch):
        scores = head.scores(rois)
        objects += np.bincount(rois.labels, minlength=size + 1)[:size]
        for image in np.unique(image_of):
            rows = np.flatnonzero(image_of == image)
            values, index = scores[rows].flatten().topk(min(most, len(rows) * size))
            row, category = rows[index.numpy() // size], index.numpy() % size
            counts = images.evaluated[image, category]
            hit = rois.labels[row] == category
            found.append(np.stack([category, values.numpy(), hit])[:, counts])
    category, score, hit = np.concatenate(found, axis=1)
    order = np.lexsort((-score, category))
    category, hit = category[order].astype(int), hit[order].astype(bool)
    ends = np.searchsorted(category, np.arange(size + 1))
    return np.array([_average_precision(hit[a:b], n) for a, b, n in zip(ends, ends[1:], objects)])


def _average_precision(hit: np.ndarray, objects: int) -> float:
    """Area below the precision made falling, in percent.

    Args:
        hit: of the detections by falling score, bool (n,).
        objects: that there are to find.
    """
    precision = np.cumsum(hit) / np.arange(1, len(hit) + 1)
    falling = np.maximum.accumulate(precision[::-1])[::-1]
    return 100 * float(falling[hit].sum()) / objects

"""Which boxes are still of use after an augmentation."""

import numpy as np


def clip_boxes(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Boxes cut to an image.

    Args:
        boxes: float (N, 4), XYXY.
        size: height and width.
    """
    height, width = size
    return boxes.clip(0, (width, height, width, height))


def have_area(boxes: np.ndarray) -> np.ndarray:
    """Whether each box, (N, 4), XYXY, is wider and higher than 0; bool (N,)."""
    return (boxes[:, 2:] > boxes[:, :2]).all(axis=1)


def survive(
    before: np.ndarray,
    after: np.ndarray,
    min_side: float,
    min_area: float = 0.2,
    max_aspect: float = 20.0,
) -> np.ndarray:
    """Whether enough of each box is left, as in the official code of YOLOX and EFL.

    Args:
        before: float (N, 4), XYXY, in pixels of the output, without what cutting took away.
        after: the same boxes, cut.
        min_side: a box must be wider and higher, in pixels.
        min_area: more than this share of its area must be left.
        max_aspect: the longer side must be less than this multiple of the shorter one.

    Returns:
        bool (N,).
    """
    shorter, longer = np.sort(_sides(after), axis=1).T
    is_large = _sides(after).prod(axis=1) > min_area * _sides(before).prod(axis=1)
    return (shorter > min_side) & is_large & (longer < max_aspect * shorter)


def _sides(boxes: np.ndarray) -> np.ndarray:
    return boxes[:, 2:] - boxes[:, :2]

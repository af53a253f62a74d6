"""Rectangles of one colour on black, and where they are found again."""

import numpy as np
from detectron2.structures import BoxMode

# Red, green, blue and yellow: half of one, as at an edge, is not half of another.
COLORS = np.array([(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)], np.uint8)


def image_of(size, box, color):
    """uint8 (H, W, 3) with a rectangle, whole numbers XYXY."""
    image = np.zeros((*size, 3), np.uint8)
    image[box[1] : box[3], box[0] : box[2]] = color
    return image


def corners_of(box):
    """Polygon of a box, float (4, 2)."""
    x0, y0, x1, y1 = box
    return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], float)


def annotation_of(box, category_id=0, segmentation=None):
    """In Detectron2's standard format; a polygon unless a segmentation is given."""
    return {
        # Detectron2's transforms round down what they make of whole numbers
        "bbox": [float(x) for x in (box[0], box[1], box[2] - box[0], box[3] - box[1])],
        "bbox_mode": BoxMode.XYWH_ABS,
        "category_id": category_id,
        "segmentation": segmentation or [corners_of(box).ravel().tolist()],
    }


def pixels_of(image, color):
    """bool (H, W): where an RGB image has more than half of a color, and nothing else."""
    color = np.asarray(color) > 127
    return (image[..., color] > 127).all(axis=-1) & (image[..., ~color] < 64).all(axis=-1)


def box_of(mask):
    """Float (4,), XYXY, around the pixels of a mask."""
    y, x = np.nonzero(mask)
    return np.array([x.min(), y.min(), x.max() + 1, y.max() + 1], float)

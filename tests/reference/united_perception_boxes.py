"""Boxes of the official code of EFL from the outputs of its head, written from its formulas.

A box is the corners of its first and its last pixel; nothing here is continuous.
"""

import math

import torch


def anchors(stride, height, width, scales=(6, 8)):
    """``hand_craft`` anchors of one ratio, (height * width * scales, 4)."""
    last = stride - 1  # the cell is (0, 0, stride - 1, stride - 1)
    centre = 0 + 0.5 * ((last - 0 + 1) - 1)
    boxes = []
    for y in range(height):
        for x in range(width):
            for scale in scales:
                half = 0.5 * (stride * scale - 1)
                boxes.append(
                    [
                        x * stride + centre - half,
                        y * stride + centre - half,
                        x * stride + centre + half,
                        y * stride + centre + half,
                    ]
                )
    return torch.tensor(boxes)


def decode(boxes, offsets):
    """``offset2bbox`` with weights of 1."""
    width, height = boxes[:, 2] - boxes[:, 0] + 1, boxes[:, 3] - boxes[:, 1] + 1
    x, y = boxes[:, 0] + 0.5 * width, boxes[:, 1] + 0.5 * height
    dx, dy = offsets[:, 0], offsets[:, 1]
    dw, dh = (offsets[:, i].clamp(max=math.log(1000 / 16)) for i in (2, 3))
    x, y, width, height = dx * width + x, dy * height + y, dw.exp() * width, dh.exp() * height
    return torch.stack(
        [
            x - 0.5 * width,
            y - 0.5 * height,
            x + 0.5 * width - 1,
            y + 0.5 * height - 1,
        ],
        dim=1,
    )


def clip(boxes, height, width):
    """``clip_bbox``."""
    last = torch.tensor([width - 1, height - 1, width - 1, height - 1])
    return boxes.clamp(min=0).minimum(last)


def iou(a, b):
    """``bbox_iou_overlaps`` of one box with others."""
    left_top, right_bottom = a[:2].maximum(b[:, :2]), a[2:].minimum(b[:, 2:])
    inner = (right_bottom - left_top + 1).clamp(min=0).prod(1)
    areas = [(x[..., 2] - x[..., 0] + 1) * (x[..., 3] - x[..., 1] + 1) for x in (a, b)]
    return inner / (areas[0] + areas[1] - inner)


def suppress(boxes, scores, threshold):
    """Indices of what is left, best first."""
    order, keep = scores.argsort(descending=True).tolist(), []
    while order:
        best, *order = order
        keep.append(best)
        if order:
            overlap = iou(boxes[best], boxes[order])
            order = [i for i, value in zip(order, overlap.tolist()) if value <= threshold]
    return keep


def written(boxes, scale_x, scale_y):
    """What ``dump`` writes: (x, y, w, h) in the image as it was."""
    x1, x2 = boxes[:, 0] / scale_x, boxes[:, 2] / scale_x
    y1, y2 = boxes[:, 1] / scale_y, boxes[:, 3] / scale_y
    return torch.stack([x1, y1, x2 - x1 + 1, y2 - y1 + 1], dim=1)


def resized(box, scale):
    """What training makes of an object (x, y, w, h) in an image that is scaled: its corners."""
    x, y, w, h = box
    return [scale * x, scale * y, scale * (x + w - 1), scale * (y + h - 1)]

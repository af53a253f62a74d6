"""ATSS and the improved baseline by brute force: loops over objects, levels, anchors and pairs.

Written from the description of the official code, without any code of the package.
"""

import math
import statistics

import torch


def iou(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    area = (a[2] - a[0]) * (a[3] - a[1])
    other = (b[2] - b[0]) * (b[3] - b[1])
    return width * height / (area + other - width * height)


def iou_and_giou(a, b):
    corners = list(zip(a, b))
    hull = (max(corners[2]) - min(corners[0])) * (max(corners[3]) - min(corners[1]))
    area, other = ((x[2] - x[0]) * (x[3] - x[1]) for x in (a, b))
    value = iou(a, b)
    union = (area + other) / (1 + value)
    return value, value - (hull - union) / hull


def assign(levels, objects, image_size, num_candidates):
    """Object index of each anchor, -1 for background; boxes are lists of four numbers."""
    anchors = [anchor for level in levels for anchor in level]
    matched, best = [-1] * len(anchors), [-1.0] * len(anchors)
    for index, box in enumerate(objects):
        if box[2] - box[0] <= 1 or box[3] - box[1] <= 1:
            continue
        for position, value in positives(levels, box, image_size, num_candidates):
            if value > best[position]:
                matched[position], best[position] = index, value
    return matched


def positives(levels, box, image_size, num_candidates):
    """(anchor index, IoU) of the positive anchors of one object."""
    height, width = image_size
    center_x = min(max((box[0] + box[2]) / 2, 0), width)
    center_y = min(max((box[1] + box[3]) / 2, 0), height)
    candidates, first = [], 0
    for level in levels:
        distances = []
        for position, anchor in enumerate(level):
            x, y = (anchor[0] + anchor[2]) / 2, (anchor[1] + anchor[3]) / 2
            squared = (x - center_x) * (x - center_x) + (y - center_y) * (y - center_y)
            distances.append((squared, first + position, x, y, anchor))
        candidates += sorted(distances)[:num_candidates]
        first += len(level)
    values = [iou(anchor, box) for *_, anchor in candidates]
    threshold = statistics.mean(values) + statistics.stdev(values)
    for (_, position, x, y, _), value in zip(candidates, values):
        inside = min(x - box[0], y - box[1], box[2] - x, box[3] - y) > 0.01
        if value >= threshold and inside:
            yield position, value


def decode(anchor, delta):
    width, height = anchor[2] - anchor[0], anchor[3] - anchor[1]
    x = (anchor[0] + anchor[2]) / 2 + delta[0] * width
    y = (anchor[1] + anchor[3]) / 2 + delta[1] * height
    width, height = width * math.exp(delta[2]), height * math.exp(delta[3])
    return x - width / 2, y - height / 2, x + width / 2, y + height / 2


def rows(maps, num_anchors):
    """Lists of K numbers of a level's map (A * K, H, W) of one image, in the order H, W, A."""
    channels, height, width = maps.shape
    step = channels // num_anchors
    for y in range(height):
        for x in range(width):
            for a in range(num_anchors):
                yield maps[a * step : (a + 1) * step, y, x].tolist()


def box_losses(anchors, labels, boxes, predictions, num_classes):
    """Box loss and IoU loss of a batch, and the IoU of each anchor, 0 where not positive."""
    quality = torch.zeros(len(labels), len(labels[0]))
    box_sum = iou_sum = count = 0.0
    all_anchors = [anchor for level in anchors for anchor in level.tensor.tolist()]
    for image in range(len(labels)):
        num_anchors = predictions[2][0].shape[1]
        deltas, ious = (
            [row for level in maps for row in rows(level[image], num_anchors)]
            for maps in predictions[1:]
        )
        for index, label in enumerate(labels[image].tolist()):
            if label == num_classes:
                continue
            box = decode(all_anchors[index], deltas[index])
            q, giou = iou_and_giou(box, boxes[image][index].tolist())
            p = 1 / (1 + math.exp(-ious[index][0]))
            box_sum += q * (1 - giou)
            iou_sum -= q * math.log(p) + (1 - q) * math.log(1 - p)
            quality[image, index] = q
            count += 1
    return box_sum / max(quality.sum().item(), 1), iou_sum / max(count, 1), quality


def detections(
    anchors, predictions, image_size, num_classes, score_thresh, topk, nms_thresh, limit
):
    """Boxes, scores and classes of one image, the plain way: all scores, one level at a time."""
    found = []
    for level, *maps in zip(anchors, *predictions):
        logits, deltas, ious = (list(rows(x, len(maps[2]))) for x in maps)
        scores = torch.tensor(logits).sigmoid() * torch.tensor(ious).sigmoid()
        values, order = scores.flatten().topk(min(topk, len(level)))
        for index in order[values > score_thresh].tolist():
            anchor, label = divmod(index, num_classes)
            box = decode(level.tensor[anchor].tolist(), deltas[anchor])
            ends = (image_size[1], image_size[0]) * 2
            box = [min(max(x, 0), end) for x, end in zip(box, ends)]
            found.append((scores[anchor, label].item(), label, box))
    kept = []
    for score, label, box in sorted(found, reverse=True):
        if all(iou(box, other) <= nms_thresh for _, same, other in kept if same == label):
            kept.append((score, label, box))
    scores, labels, boxes = zip(*kept[:limit])
    return torch.tensor(boxes), torch.tensor(scores), torch.tensor(labels)

"""How many anchors of a one-stage detector are positive, counted without the pixels."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from detectron2.data.transforms import ResizeShortestEdge
from detectron2.structures import Boxes, BoxMode, Instances
from detectron2.structures.boxes import matched_pairwise_iou
from torch import Tensor

from .retinanet import EQLRetinaNet

# Images that are looked at; beyond that number the classes share what an instance has on average.
_MOST_IMAGES = 1000


class AnchorCounts(NamedTuple):
    """Anchors of an average training image.

    Attributes:
        num_anchors: those that are not ignored.
        positives: float64 (C,), positive anchors of each class.
        quality: float64 (C,), IoU of the positive anchors of each class with their objects, that of
            the boxes a detector begins with: the root of the mean cube, since the gradient of the
            quality focal loss goes by the cube. 0 without positives.
    """

    num_anchors: float
    positives: Tensor
    quality: Tensor


class ImageSize(NamedTuple):
    """Size of training images: ``ResizeShortestEdge`` with one length of the shorter side."""

    shortest_edge: int
    longest_edge: int

    def of(self, height: int, width: int) -> tuple[int, int]:
        """Height and width after resizing."""
        return ResizeShortestEdge.get_output_shape(
            height, width, self.shortest_edge, self.longest_edge
        )

    @classmethod
    def of_mapper(cls, mapper: object) -> "ImageSize | None":
        """The middle size to which a Detectron2 mapper resizes; None if it is not known."""
        augmentations = getattr(mapper, "augmentations", None)
        for augmentation in getattr(augmentations, "augs", []):
            if isinstance(augmentation, ResizeShortestEdge):
                lengths = sorted(augmentation.short_edge_length)
                middle = sum(lengths) // 2 if augmentation.is_range else lengths[len(lengths) // 2]
                return cls(int(middle), augmentation.max_size)
        return None


@torch.no_grad()
def count_anchors(
    model: EQLRetinaNet,
    records: Sequence[dict],
    image_size: ImageSize | None,
    repeat_factors: Sequence[float] | None = None,
) -> AnchorCounts:
    """Label the anchors of training images as the detector does in training.

    Neither pixels nor random numbers are read: of a random size the middle one stands for all, and
    crops are not known of. Of more than 1000 images as many, evenly spread, are labelled; the mean
    number of positives of an instance in them then goes with all instances of each class.

    Args:
        model: on any device.
        records: training data in Detectron2's standard format, at least one.
        image_size: that images are resized to; None to take them as they are.
        repeat_factors: how often each record occurs in an epoch; None for once each.

    Returns:
        Means over images, each as often as it is repeated.
    """
    repeats = [1.0] * len(records) if repeat_factors is None else list(map(float, repeat_factors))
    chosen = range(0, len(records), math.ceil(len(records) / _MOST_IMAGES))
    num_anchors = 0.0
    # Ignored anchors are -1, background comes last.
    positives = torch.zeros(model.num_classes + 2, dtype=torch.float64)
    cubes = torch.zeros_like(positives)
    for i in chosen:
        labels, iou = _label_anchors(model, records[i], image_size)
        num_anchors += repeats[i] * int((labels >= 0).sum())
        positives += repeats[i] * torch.bincount(labels + 1, minlength=len(positives))
        cubes += repeats[i] * torch.bincount(labels + 1, iou.double() ** 3, len(positives))
    positives, cubes = positives[1:-1], cubes[1:-1]
    quality = (cubes / positives.clamp(min=1e-10)) ** (1 / 3)
    weight = sum(repeats[i] for i in chosen)
    num_anchors, positives_of_image = num_anchors / weight, positives / weight
    if chosen.step > 1:
        of_chosen = _count_instances(model.num_classes, records, repeats, chosen).sum()
        instances = _count_instances(model.num_classes, records, repeats, range(len(records)))
        of_instance = positives.sum() / of_chosen.clamp(min=1)
        positives_of_image = of_instance * instances / sum(repeats)
    return AnchorCounts(num_anchors, positives_of_image, quality)


def _label_anchors(
    model: EQLRetinaNet, record: dict, image_size: ImageSize | None
) -> tuple[Tensor, Tensor]:
    """Labels of the anchors of an image, and IoU of each with its object, 0 without one; (R,)."""
    old_height, old_width = height, width = record["height"], record["width"]
    if image_size is not None:
        height, width = image_size.of(height, width)
    objects = _objects(record)
    boxes = [BoxMode.convert(x["bbox"], x["bbox_mode"], BoxMode.XYXY_ABS) for x in objects]
    boxes = Boxes(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4))
    boxes.scale(width / old_width, height / old_height)
    classes = torch.tensor([x["category_id"] for x in objects], dtype=torch.int64)
    instances = Instances((height, width), gt_boxes=boxes, gt_classes=classes).to(model.device)

    features = [
        torch.empty(1, 0, *(math.ceil(side / stride) for side in model.padded_size(height, width)))
        for stride in model.anchor_generator.strides
    ]
    anchors = model.anchor_generator(features)
    (labels,), (matched,) = model.label_anchors(anchors, [instances])
    positive = (labels >= 0) & (labels < model.num_classes)
    iou = matched_pairwise_iou(Boxes.cat(anchors), Boxes(matched)).where(positive, 0)
    return labels.cpu(), iou.cpu()


def _count_instances(
    num_classes: int, records: Sequence[dict], repeats: Sequence[float], indices: range
) -> Tensor:
    counts = torch.zeros(num_classes, dtype=torch.float64)
    for i in indices:
        for annotation in _objects(records[i]):
            counts[annotation["category_id"]] += repeats[i]
    return counts


def _objects(record: dict) -> list[dict]:
    """Annotations of a record that the detector is trained on: no crowd regions."""
    return [x for x in record["annotations"] if not x.get("iscrowd", 0)]

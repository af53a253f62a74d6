"""How many anchors of a one-stage detector are positive, counted without the pixels."""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from detectron2.data.transforms import ResizeShortestEdge
from detectron2.structures import Boxes, BoxMode, Instances
from detectron2.structures.boxes import matched_pairwise_iou
from torch import Tensor

from ..data import MosaicDataset, ResizeLongestEdge
from ..losses.functional import step_weights
from ..random_numbers import COUNT, random_numbers_given_back, seed_host
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
        step_anchors: as ``num_anchors``, each image with the weight that it has in the mean of its
            steps, which are divided by their own positives.
        step_positives: as ``positives``, so weighted; float64 (C,).
    """

    num_anchors: float
    positives: Tensor
    quality: Tensor
    step_anchors: float
    step_positives: Tensor


class ImageSize(NamedTuple):
    """Size of training images: ``ResizeShortestEdge`` with one length of the shorter side. Where
    both are the same, that is ``ResizeLongestEdge``."""

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
            if isinstance(augmentation, ResizeLongestEdge):
                lengths = sorted(augmentation.lengths)
                return cls(lengths[len(lengths) // 2], lengths[len(lengths) // 2])
        return None


@torch.no_grad()
def count_anchors(
    model: EQLRetinaNet,
    records: Sequence[dict],
    image_size: ImageSize | None,
    repeat_factors: Sequence[float] | None = None,
    batch_size: int | None = None,
) -> AnchorCounts:
    """Label the anchors of training images as the detector does in training.

    Neither pixels nor random numbers are read: of a random size the middle one stands for all, and
    crops and what a batch pads its smaller images with are not known of. Of more than 1000 images
    as many, evenly spread, are labelled; the mean number of positives of an instance in them then
    goes with all instances of each class.

    Args:
        model: on any device.
        records: training data in Detectron2's standard format, at least one.
        image_size: that images are resized to; None to take them as they are.
        repeat_factors: how often each record occurs in an epoch; None for once each.
        batch_size: images of a step, in all processes together; None for as many that all steps
            have the same positives.

    Returns:
        Means over images, each as often as it is repeated.
    """
    repeats = _repeats(records, repeat_factors)
    chosen = _choose(records)
    images = ((repeats[i], _instances(records[i], image_size)) for i in chosen)
    counts, weights = _count(model, images, batch_size)
    if chosen.step == 1:
        return counts

    def extended(mean: Tensor, repeats: Sequence[float]) -> tuple[float, Tensor]:
        """Positives of an instance of the chosen images, and those of each class in an image."""
        of_chosen = _count_instances(model.num_classes, records, repeats, chosen).sum()
        of_instance = float(weight * mean.sum() / of_chosen.clamp(min=1e-10))
        instances = _count_instances(model.num_classes, records, repeats, range(len(records)))
        return of_instance, of_instance * instances / total

    total, weight = sum(repeats), sum(repeats[i] for i in chosen)
    of_instance, positives = extended(counts.positives, repeats)
    # The others' positives are not counted: those of their instances say which weight they have.
    numbers = (round(of_instance * len(_objects(record))) for record in records)
    in_steps = [r * float(weights[min(n, len(weights) - 1)]) for r, n in zip(repeats, numbers)]
    _, step_positives = extended(counts.step_positives, in_steps)
    return _shared(counts, positives, step_positives)


@torch.no_grad()
def count_mixed_anchors(
    model: EQLRetinaNet,
    records: Sequence[dict],
    mosaic: MosaicDataset,
    repeat_factors: Sequence[float] | None = None,
    batch_size: int | None = None,
) -> AnchorCounts:
    """:func:`count_anchors` of images that are mixed.

    Each of at most 1000 images, evenly spread, is mixed once with others, under random numbers of
    its own; those of the training are given back. Each class then has the share of the positives
    that it has of the instances, for a rare one is in few of the mixed images. The last images of a
    training, which are not mixed, do not count.

    Args:
        model: on any device.
        records: as above.
        mosaic: of these records.
        repeat_factors: how often each record occurs in an epoch; None for once each.
        batch_size: as above.
    """
    repeats = _repeats(records, repeat_factors)
    counts, _ = _count(model, _mixed_instances(mosaic, repeats), batch_size)
    occurrences = mosaic.occurrences(repeat_factors).tolist()
    instances = _count_instances(model.num_classes, records, occurrences, range(len(records)))
    share = instances / instances.sum().clamp(min=1e-10)
    return _shared(counts, counts.positives.sum() * share, counts.step_positives.sum() * share)


def _shared(counts: AnchorCounts, positives: Tensor, step_positives: Tensor) -> AnchorCounts:
    """With positives that are shared out: a class that had none has the quality of all."""
    cubes = counts.quality**3 * counts.positives
    quality = (cubes.sum() / counts.positives.sum().clamp(min=1e-10)) ** (1 / 3)
    quality = counts.quality.where((counts.positives > 0) | (positives == 0), quality)
    return counts._replace(positives=positives, quality=quality, step_positives=step_positives)


def _repeats(records: Sequence[dict], repeat_factors: Sequence[float] | None) -> list[float]:
    return [1.0] * len(records) if repeat_factors is None else list(map(float, repeat_factors))


def _choose(records: Sequence[dict]) -> range:
    return range(0, len(records), math.ceil(len(records) / _MOST_IMAGES))


def _mixed_instances(
    mosaic: MosaicDataset, repeats: Sequence[float]
) -> Iterator[tuple[float, Instances]]:
    for i in _choose(mosaic):
        with random_numbers_given_back():
            seed_host(0, COUNT, i)
            instances = mosaic.draw_objects(i)
        yield repeats[i], instances


def _count(
    model: EQLRetinaNet, images: Iterable[tuple[float, Instances]], batch_size: int | None
) -> tuple[AnchorCounts, Tensor]:
    """Means over images, of which each has a weight, and step weights by number of positives."""
    repeats, num_anchors, positives, cubes = [], [], [], []
    num_labels = model.num_classes + 2  # ignored anchors are -1, background comes last
    for weight, instances in images:
        labels, iou = _label_anchors(model, instances)
        repeats.append(weight)
        num_anchors.append(int((labels >= 0).sum()))
        positives.append(torch.bincount(labels + 1, minlength=num_labels)[1:-1].double())
        cubes.append(torch.bincount(labels + 1, iou.double() ** 3, num_labels)[1:-1])
    repeats, num_anchors, positives, cubes = (
        torch.tensor(repeats, dtype=torch.float64),
        torch.tensor(num_anchors, dtype=torch.float64),
        torch.stack(positives),
        torch.stack(cubes),
    )
    numbers = positives.sum(1).long()
    share = torch.bincount(numbers, repeats) / repeats.sum()
    weights = torch.ones_like(share) if batch_size is None else step_weights(share, batch_size)
    in_steps = repeats * weights[numbers]
    quality = (repeats @ cubes / (repeats @ positives).clamp(min=1e-10)) ** (1 / 3)
    counts = AnchorCounts(
        float(repeats @ num_anchors / repeats.sum()),
        repeats @ positives / repeats.sum(),
        quality,
        float(in_steps @ num_anchors / repeats.sum()),
        in_steps @ positives / repeats.sum(),
    )
    return counts, weights


def _instances(record: dict, image_size: ImageSize | None) -> Instances:
    """Objects of a record, in the image after resizing."""
    old_height, old_width = height, width = record["height"], record["width"]
    if image_size is not None:
        height, width = image_size.of(height, width)
    objects = _objects(record)
    boxes = [BoxMode.convert(x["bbox"], x["bbox_mode"], BoxMode.XYXY_ABS) for x in objects]
    boxes = Boxes(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4))
    boxes.scale(width / old_width, height / old_height)
    classes = torch.tensor([x["category_id"] for x in objects], dtype=torch.int64)
    return Instances((height, width), gt_boxes=boxes, gt_classes=classes)


def _label_anchors(model: EQLRetinaNet, instances: Instances) -> tuple[Tensor, Tensor]:
    """Labels of the anchors of an image, and IoU of each with its object, 0 without one; (R,)."""
    padded = model.padded_size(*instances.image_size)
    features = [
        torch.empty(1, 0, *(math.ceil(side / stride) for side in padded))
        for stride in model.anchor_generator.strides
    ]
    anchors = model.anchor_generator(features)
    (labels,), (matched,) = model.label_anchors(anchors, [instances.to(model.device)])
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

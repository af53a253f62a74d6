"""A training step of a detector on boxes, for the tests."""

import torch
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage


def batch(*num_objects):
    """Images of noise, each with the given number of objects, at most two."""
    generator = torch.Generator().manual_seed(3)
    inputs = []
    for count in num_objects:
        instances = Instances((64, 80))
        boxes = torch.tensor([[5.0, 5, 40, 40], [30, 20, 70, 60]])[:count]
        instances.gt_boxes = Boxes(boxes)
        instances.gt_classes = torch.tensor([0, 3])[:count]
        image = 255 * torch.rand(3, 64, 80, generator=generator)
        inputs.append({"image": image, "instances": instances, "height": 64, "width": 80})
    return inputs


def losses_of(model, inputs):
    """Losses, after the backward pass."""
    with EventStorage():
        losses = model.train()(inputs)
        sum(losses.values()).backward()
    return losses

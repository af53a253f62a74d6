"""Box heads and inputs for the tests of two-stage detectors."""

import torch
from detectron2.export.flatten import TracingAdapter
from detectron2.export.torchscript import scripting_with_instances
from detectron2.layers import ShapeSpec
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.structures import Boxes, Instances

from eql_d2 import EQLFastRCNNOutputLayers

C = 5


def predictor(cls=EQLFastRCNNOutputLayers, **kwargs):
    transform = Box2BoxTransform(weights=(10, 10, 5, 5))
    return cls(ShapeSpec(channels=8), box2box_transform=transform, num_classes=C, **kwargs)


def proposals(num_rows, gt_classes):
    instances = Instances((64, 64))
    boxes = torch.tensor([[4.0, 4.0, 20.0, 30.0]]).repeat(num_rows, 1)
    instances.proposal_boxes = Boxes(boxes)
    instances.gt_boxes = Boxes(boxes)
    instances.gt_classes = torch.as_tensor(gt_classes)
    return [instances]


def batch(num_images=2):
    torch.manual_seed(3)
    inputs = []
    for _ in range(num_images):
        instances = Instances((64, 80))
        instances.gt_boxes = Boxes(torch.tensor([[5.0, 5, 40, 40], [30, 20, 70, 60]]))
        instances.gt_classes = torch.tensor([0, 3])
        instances.gt_masks = torch.zeros(2, 64, 80, dtype=torch.bool)
        inputs.append({"image": 255 * torch.rand(3, 64, 80), "instances": instances})
    return inputs


def bitmask_batch():
    from detectron2.structures import BitMasks

    inputs = batch()
    for x in inputs:
        x["instances"].gt_masks = BitMasks(x["instances"].gt_masks)
    return inputs


def assert_exports_equal_eager(model, image):
    """Tracing and scripting give the scores of the model; returns them."""
    expected = model.inference([{"image": image}], do_postprocess=False)[0]

    def inference(model, inputs):
        return [{"instances": model.inference(inputs, do_postprocess=False)[0]}]

    adapter = TracingAdapter(model, [{"image": image}], inference)
    traced = torch.jit.trace(adapter, (image,), check_trace=False)
    found = adapter.outputs_schema(traced(image))[0]["instances"]
    torch.testing.assert_close(found.scores, expected.scores)

    fields = {"proposal_boxes": Boxes, "objectness_logits": torch.Tensor, "pred_boxes": Boxes}
    fields |= {"scores": torch.Tensor, "pred_classes": torch.Tensor, "pred_masks": torch.Tensor}
    scripted = scripting_with_instances(model, fields)
    found = scripted.inference([{"image": image}], do_postprocess=False)[0]
    torch.testing.assert_close(found.scores, expected.scores)
    return expected.scores

"""Exports of a dense detector against itself, for the tests."""

import torch
from detectron2.export import TracingAdapter, scripting_with_instances
from detectron2.structures import Boxes


def assert_exports_equal_eager(model):
    """A trace and a script give the scores of the model for images of several sizes."""
    model.eval()
    # Torchvision suppresses boxes in another way in a trace, whose rounding may keep one more.
    torch.manual_seed(0)
    images = [255 * torch.rand(3, *size) for size in [(64, 80), (96, 64), (64, 32)]]
    inputs = [{"image": images[0]}]
    adapter = TracingAdapter(model, inputs, lambda model, inputs: model(inputs))
    traced = torch.jit.trace(adapter, (images[0],), check_trace=False)
    fields = {"pred_boxes": Boxes, "scores": torch.Tensor, "pred_classes": torch.Tensor}
    scripted = scripting_with_instances(model, fields)
    for image in images:  # the sizes of the first are no constants of the others
        expected = model([{"image": image}])[0]["instances"]
        found = adapter.outputs_schema(traced(image))[0]["instances"]
        torch.testing.assert_close(found.scores, expected.scores)
        found = scripted([{"image": image}])[0]
        found.pred_boxes.clip(image.shape[1:])
        kept = found.pred_boxes.nonempty()  # boxes of the padding; eager leaves them out at the end
        torch.testing.assert_close(found.scores[kept], expected.scores)

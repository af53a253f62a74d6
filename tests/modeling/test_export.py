"""Traces: the scores of the exported model are those of the model, whatever the image."""

import pytest
import torch
from detectron2.config import get_cfg
from detectron2.export.flatten import TracingAdapter
from detectron2.export.torchscript import scripting_with_instances
from detectron2.modeling import build_model
from detectron2.structures import Boxes

from eql_d2 import add_eql_config
from tests.conftest import as_retinanet
from tests.data.label_map_folders import as_semantic_fpn
from tests.modeling.test_classification import CONFIG

SIZES = [(64, 80), (96, 64)]


def images():
    generator = torch.Generator().manual_seed(0)
    return [255 * torch.rand(3, *size, generator=generator) for size in SIZES]


def traced(model, image, inference):
    """``inference`` of a model, traced with one image, as a function of an image."""
    adapter = TracingAdapter(model, [{"image": image}], inference)
    function = torch.jit.trace(adapter, (image,), check_trace=False)
    return lambda other: adapter.outputs_schema(function(other))[0]


@torch.no_grad()
@pytest.mark.parametrize("heads", ["EQLROIHeads", "EQLCascadeROIHeads"])
@pytest.mark.slow
def test_a_trace_of_a_two_stage_detector_takes_any_number_of_proposals(tiny_cfg, heads):
    tiny_cfg.MODEL.ROI_HEADS.NAME = heads
    tiny_cfg.MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG = "Cascade" in heads
    torch.manual_seed(0)
    model = build_model(tiny_cfg).eval()

    def inference(model, inputs):
        return [{"instances": model.inference(inputs, do_postprocess=False)[0]}]

    function, numbers = traced(model, images()[0], inference), set()
    for image in images():
        batch = model.preprocess_image([{"image": image}])
        numbers.add(len(model.proposal_generator(batch, model.backbone(batch.tensor))[0][0]))
        expected = inference(model, [{"image": image}])[0]["instances"].scores
        torch.testing.assert_close(function(image)["instances"].scores, expected)
    assert len(numbers) == 2


@torch.no_grad()
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.slow
def test_a_trace_and_a_script_of_retinanet_equal_eager(tiny_cfg, seed):
    torch.manual_seed(seed)
    model = build_model(as_retinanet(tiny_cfg)).eval()
    fields = {"pred_boxes": Boxes, "scores": torch.Tensor, "pred_classes": torch.Tensor}
    before = [model([{"image": image}])[0]["instances"] for image in images()]
    function = traced(model, images()[0], lambda model, inputs: model(inputs))
    scripted = scripting_with_instances(model, fields)
    for image, expected in zip(images(), before):
        assert len(expected) > 0
        after = model([{"image": image}])[0]["instances"]
        torch.testing.assert_close(after.scores, expected.scores, rtol=0, atol=0)
        torch.testing.assert_close(function(image)["instances"].scores, expected.scores)
        found = scripted([{"image": image}])[0]
        found.pred_boxes.clip(image.shape[1:])  # which eager does at the end
        kept = found.pred_boxes.nonempty()
        torch.testing.assert_close(found.scores[kept], expected.scores)


@torch.no_grad()
@pytest.mark.parametrize("loss", ["SoftmaxEQL", "EQLv2"])
def test_a_trace_of_a_classifier_equals_eager(loss):
    cfg = get_cfg()
    add_eql_config(cfg)
    cfg.merge_from_file(str(CONFIG))
    cfg.MODEL.DEVICE, cfg.MODEL.CLASSIFIER.NUM_CLASSES = "cpu", 5
    cfg.MODEL.EQL.LOSS = loss
    model = build_model(cfg).eval()
    function = traced(model, images()[0], lambda model, inputs: model(inputs))
    for image in images():
        expected = model([{"image": image}])[0]["scores"]
        torch.testing.assert_close(function(image)["scores"], expected)


@torch.no_grad()
def test_a_trace_of_a_segmentation_model_equals_eager(tiny_cfg):
    model = build_model(as_semantic_fpn(tiny_cfg)).eval()
    function = traced(model, images()[0], lambda model, inputs: model(inputs))
    for image in images():
        expected = model([{"image": image}])[0]["sem_seg"]
        torch.testing.assert_close(function(image)["sem_seg"], expected)

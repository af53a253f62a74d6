"""Weights of the official code give its boxes: against its own formulas in corners of pixels."""

import pytest
import torch
from detectron2.config import get_cfg
from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances

from eql_d2 import EQLImprovedBaselineLegacyBoxes, InputError, add_eql_config
from eql_d2.modeling.legacy_boxes import with_last_pixel
from tests.reference import united_perception_boxes as reference

C, STRIDES = 3, (8, 16, 32, 64, 128)
RESIZED, ORIGINAL = (128, 160), (77, 96)


@pytest.fixture
def cfg():
    cfg = get_cfg()
    add_eql_config(cfg)
    cfg.merge_from_file("configs/Base-ImprovedBaseline.yaml")
    cfg.MODEL.META_ARCHITECTURE = EQLImprovedBaselineLegacyBoxes.__name__
    cfg.MODEL.DEVICE, cfg.MODEL.WEIGHTS = "cpu", ""
    cfg.MODEL.RESNETS.DEPTH, cfg.MODEL.RESNETS.RES2_OUT_CHANNELS = 18, 64
    cfg.MODEL.FPN.OUT_CHANNELS, cfg.MODEL.RETINANET.NUM_CONVS = 32, 1
    cfg.MODEL.RETINANET.NUM_CLASSES, cfg.MODEL.EQL.LOSS = C, "FocalLoss"
    return cfg


def test_anchors_are_those_of_the_official_grid(cfg):
    generator = build_model(cfg).anchor_generator
    sizes = [(-(-RESIZED[0] // s), -(-RESIZED[1] // s)) for s in STRIDES]
    found = generator([torch.zeros(1, 1, *size) for size in sizes])
    for stride, size, level in zip(STRIDES, sizes, found):
        corners = reference.anchors(stride, *size)
        assert torch.equal(level.tensor, corners + torch.tensor([0.0, 0, 1, 1]))
    assert reference.anchors(8, 1, 1)[0].tolist() == [-20, -20, 27, 27]


@torch.no_grad()
def test_outputs_are_what_the_official_code_writes(cfg):
    cfg.MODEL.RETINANET.TOPK_CANDIDATES_TEST, cfg.TEST.DETECTIONS_PER_IMAGE = 40, 100
    torch.manual_seed(0)
    model = build_model(cfg).eval()
    for layer, std in ((model.head.cls_score, 0.3), (model.head.bbox_pred, 0.01)):
        layer.weight.normal_(std=std)
    image = torch.rand(3, *RESIZED) * 255
    height, width = ORIGINAL
    inputs = [{"image": image, "height": height, "width": width}]
    found = model(inputs)[0]["instances"]

    outputs = model.head(list(model.backbone(model.preprocess_image(inputs).tensor).values()))
    boxes, scores, classes = [], [], []
    for stride, *maps in zip(STRIDES, *outputs):
        logits, deltas, ious = (m[0].unflatten(0, (2, -1)).permute(2, 3, 0, 1) for m in maps)
        corners = reference.anchors(stride, *logits.shape[:2])
        product = (logits.sigmoid() * ious.sigmoid()).reshape(-1, C)
        best, index = product.flatten().topk(min(40, len(corners)))
        decoded = reference.decode(corners[index // C], deltas.reshape(-1, 4)[index // C])
        boxes.append(reference.clip(decoded, *RESIZED))
        scores.append(best)
        classes.append(index % C)
    boxes, scores, classes = map(torch.cat, (boxes, scores, classes))
    apart = boxes + 4096 * classes[:, None]  # so there, too
    keep = reference.suppress(apart, scores, 0.5)[:100]
    expected = reference.written(boxes[keep], RESIZED[1] / width, RESIZED[0] / height)
    ends = (expected[:, :2] + expected[:, 2:]).minimum(torch.tensor([width, height]))

    assert len(found) == len(keep) > 20
    torch.testing.assert_close(found.scores, scores[keep])
    assert torch.equal(found.pred_classes, classes[keep])
    expected = torch.cat([expected[:, :2], ends], dim=1)
    torch.testing.assert_close(found.pred_boxes.tensor, expected, rtol=0, atol=1e-3)
    # Not what the same weights give without: 1 - 1 / s pixels at the ends that are in the image
    plain = super(EQLImprovedBaselineLegacyBoxes, model).forward(inputs)[0]["instances"]
    difference = found.pred_boxes.tensor - plain.pred_boxes.tensor
    assert (difference[:, :2] == 0).all()
    assert difference[:, 2].max().item() == pytest.approx(1 - width / RESIZED[1], abs=1e-4)


@pytest.mark.parametrize("scale", [1.0, 1.25, 2.0, 0.5])
def test_an_object_that_is_seen_as_it_was_trained_gets_its_own_box_back(scale):
    x, y, w, h = box = (12.0, 7.0, 30.0, 21.0)
    x1, y1, x2, y2 = reference.resized(box, scale)
    # The model sees it as the continuous box of these pixels; Detectron2 scales that back
    instances = Instances((64, 80))
    instances.pred_boxes = Boxes(torch.tensor([[x1, y1, x2 + 1, y2 + 1]]) / scale)
    found = with_last_pixel(instances, (round(64 * scale), round(80 * scale)))
    expected = torch.tensor([[x, y, x + w, y + h]])
    torch.testing.assert_close(found.pred_boxes.tensor, expected, rtol=0, atol=1e-4)
    written = reference.written(torch.tensor([[x1, y1, x2, y2]]), scale, scale)
    torch.testing.assert_close(written, torch.tensor([box]))


def test_boxes_end_at_the_image_and_none_is_left_empty():
    instances = Instances((64, 80))
    instances.pred_boxes = Boxes(torch.tensor([[60.0, 50, 80, 64], [10, 10, 10.4, 30]]))
    instances.scores = torch.tensor([0.5, 0.25])
    bigger = with_last_pixel(instances, (128, 160))
    assert bigger.pred_boxes.tensor[0].tolist() == [60, 50, 80, 64] and len(bigger) == 2
    instances.pred_boxes = Boxes(torch.tensor([[60.0, 50, 80, 64], [10, 10, 10.4, 30]]))
    smaller = with_last_pixel(instances, (32, 40))
    assert smaller.scores.tolist() == [0.5]


def test_training_is_refused(cfg):
    model = build_model(cfg).train()
    with pytest.raises(InputError, match="is for evaluation: set MODEL.META_ARCHITECTURE") as error:
        model([{"image": torch.zeros(3, 64, 64)}])
    assert "\n" not in str(error.value)

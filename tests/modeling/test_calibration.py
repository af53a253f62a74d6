"""Heads hand calibrated logits to their loss, in whole models."""

import pytest
import torch
import torch.nn.functional as F
from detectron2.modeling import build_model
from torch import nn

from eql_d2 import (
    EQLSemSegFPNHead,
    InputError,
    LogitAdjustment,
    NorCal,
    SigmoidCE,
    SoftmaxCE,
    calibrate,
)
from eql_d2.engine.build import prepare_calibration
from tests.conftest import as_retinanet
from tests.modeling.box_heads import (
    assert_exports_equal_eager,
    batch,
    bitmask_batch,
    predictor,
    proposals,
)
from tests.modeling.test_classification import batch as image_batch
from tests.modeling.test_classification import make_model
from tests.modeling.test_semantic_seg import FPN_ARGUMENTS, SHAPES, features, labels
from tests.modeling.training_step import losses_of

C = 5
COUNT = torch.tensor([8.0, 4, 2, 2, 1])


def detector(cfg, loss, name="", strength=0.0):
    """The tiny Mask R-CNN, the same for the same loss, ready to be evaluated.

    Its features are large for want of training: with its initial classifier all scores are 0 or 1.
    """
    cfg = cfg.clone()
    cfg.MODEL.EQL.LOSS = loss
    cfg.MODEL.EQL.CALIBRATION.update(NAME=name, GAMMA=strength, TAU=strength)
    torch.manual_seed(0)
    model = build_model(cfg).eval()
    for path, parameter in model.named_parameters():
        if path.endswith("cls_score.weight"):
            nn.init.normal_(parameter, std=1e-4)
    prepare_calibration(model)
    return model


CALIBRATED = [
    ("SoftmaxCE", "NorCal"),
    ("EQLv2", "NorCal"),
    ("SoftmaxCE", "LogitAdjustment"),
    ("SeesawLoss", "NorCal"),
]


@pytest.mark.parametrize("loss, name", CALIBRATED)
def test_a_strength_of_zero_finds_the_same_to_the_last_bit(registered_cfg, loss, name):
    plain, model = detector(registered_cfg, loss), detector(registered_cfg, loss, name)
    assert model.roi_heads.box_predictor.loss_cls.calibration.class_count.tolist() == COUNT.tolist()
    expected, found = plain(batch(1))[0]["instances"], model(batch(1))[0]["instances"]
    assert len(found) > 0
    for field in ("scores", "pred_classes", "pred_masks"):
        assert torch.equal(found.get(field), expected.get(field))
    assert torch.equal(found.pred_boxes.tensor, expected.pred_boxes.tensor)


def test_norcal_moves_the_detections_to_rare_classes_and_background(registered_cfg):
    def share_of_classes(model):
        layer = model.roi_heads.box_predictor
        torch.manual_seed(1)
        (probs,) = layer.predict_probs(layer(torch.randn(50, 32)), proposals(50, [0] * 50))
        return probs[:, :C].mean(0)

    before = share_of_classes(detector(registered_cfg, "SoftmaxCE"))
    after = share_of_classes(detector(registered_cfg, "SoftmaxCE", "NorCal", 1.0))
    relative = after / before
    assert (relative.diff() > 0)[[0, 1, 3]].all()  # classes 2 and 3 are of one size
    assert after.sum() < before.sum()


def test_training_goes_on_as_without_it(registered_cfg):
    plain, model = (detector(registered_cfg, "EQLv2", name, 1.0) for name in ("", "NorCal"))
    assert list(plain.state_dict()) == list(model.state_dict())
    losses = []
    for one in (plain, model):
        torch.manual_seed(2)
        losses.append(losses_of(one, bitmask_batch()))
    torch.testing.assert_close(*losses, rtol=0, atol=0)


def test_each_stage_of_a_cascade_is_calibrated(registered_cfg):
    registered_cfg.MODEL.ROI_HEADS.NAME = "EQLCascadeROIHeads"
    registered_cfg.MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG = True
    plain, model = (detector(registered_cfg, "SoftmaxCE", name, 3.0) for name in ("", "NorCal"))
    for layer in model.roi_heads.box_predictor:
        assert layer.loss_cls.calibration.class_count.tolist() == COUNT.tolist()
    expected, found = plain(batch(1))[0]["instances"], model(batch(1))[0]["instances"]
    rarest, frequent = (
        [x.scores[x.pred_classes == k].max() for x in (expected, found)] for k in (C - 1, 0)
    )
    assert rarest[1] / frequent[1] > 2 * rarest[0] / frequent[0]


@pytest.mark.parametrize("loss", ["FocalLoss", "EFL", "EQFL"])
def test_one_stage_detectors_are_refused_when_built(tiny_cfg, loss):
    cfg = as_retinanet(tiny_cfg)
    cfg.MODEL.EQL.LOSS, cfg.MODEL.EQL.CALIBRATION.NAME = loss, "NorCal"
    with pytest.raises(InputError, match=f"^NorCal cannot calibrate {loss}: .* or to ''$"):
        build_model(cfg)


def test_classes_of_images_are_calibrated():
    count = torch.tensor([90.0, 9, 1])
    model = make_model(calibrate(SoftmaxCE(3), LogitAdjustment(3, count))).eval()
    inputs = image_batch()
    logits = model.logits(model.preprocess_images(inputs))
    found = torch.stack([x["scores"] for x in model(inputs)])
    torch.testing.assert_close(found, F.softmax(logits - count.log(), dim=1))


@pytest.mark.parametrize("loss_class", [SoftmaxCE, SigmoidCE])
def test_classes_of_pixels_are_calibrated_but_not_their_training(loss_class):
    torch.manual_seed(0)
    plain = EQLSemSegFPNHead(SHAPES, loss_cls=loss_class(C), **FPN_ARGUMENTS)
    loss = calibrate(loss_class(C), NorCal(C, COUNT, gamma=1.0))
    head = EQLSemSegFPNHead(SHAPES, loss_cls=loss, **FPN_ARGUMENTS)
    head.load_state_dict(plain.state_dict())
    (_, losses), (_, expected) = head(features(), labels()), plain(features(), labels())
    assert torch.equal(losses["loss_sem_seg"], expected["loss_sem_seg"])
    logits = plain.eval()(features())[0]
    found = head.eval()(features())[0]
    torch.testing.assert_close(found, logits - COUNT.log().view(-1, 1, 1))
    assert (found.argmax(1) != logits.argmax(1)).any()


def test_predictor_without_class_counts_gets_one_line():
    loss = calibrate(SoftmaxCE(C), NorCal(C, lambda: COUNT))
    layer = predictor(loss_cls=loss)
    with pytest.raises(InputError, match="^NorCal has no class_count yet: call its prepare"):
        layer.predict_probs(layer(torch.randn(3, 8)), proposals(3, [0] * 3))


@pytest.mark.parametrize("loss, name", [*CALIBRATED, ("SoftmaxCE", "FRACAL")])
@pytest.mark.slow
def test_export_by_tracing_and_scripting_equals_eager(registered_cfg, loss, name):
    model, image = detector(registered_cfg, loss, name, 0.7), batch(1)[0]["image"]
    scores = assert_exports_equal_eager(model, image)
    plain = detector(registered_cfg, loss).inference([{"image": image}], do_postprocess=False)[0]
    assert not torch.equal(scores, plain.scores)

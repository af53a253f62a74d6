import pytest
import torch
from detectron2.modeling import build_model
from detectron2.structures import Boxes, ImageList
from detectron2.utils.events import EventStorage

from eql_d2 import InputError
from eql_d2.engine.hooks import find_statistics
from eql_d2.modeling.retinanet import top_candidates
from tests.conftest import as_retinanet
from tests.modeling.half_precision import assert_bf16_trains_as_float32
from tests.modeling.training_step import batch, losses_of

C = 5


@pytest.fixture
def cfg(tiny_cfg):
    return as_retinanet(tiny_cfg)


def plain_twin(cfg, model):
    cfg = cfg.clone()
    cfg.MODEL.META_ARCHITECTURE = "RetinaNet"
    plain = build_model(cfg)
    plain.load_state_dict(model.state_dict(), strict=False)
    return plain


def test_focal_loss_is_that_of_detectron2_up_to_the_normaliser(cfg):
    cfg.MODEL.EQL.LOSS = "FocalLoss"
    model = build_model(cfg)
    plain = plain_twin(cfg, model)
    expected, found = losses_of(plain, batch(2, 2)), losses_of(model, batch(2, 2))
    num_positive = 10 * (plain.loss_normalizer - 90)  # 0.9 * 100 + 0.1 * positives
    for name, value in expected.items():
        value = value * plain.loss_normalizer / num_positive
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-6)
    scale = plain.loss_normalizer / num_positive
    for ours, theirs in zip(model.parameters(), plain.parameters()):
        if ours.requires_grad:
            torch.testing.assert_close(ours.grad, theirs.grad * scale, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("score_thresh", [0.0, 0.5])
def test_detections_are_those_of_detectron2(cfg, score_thresh):
    cfg.MODEL.RETINANET.SCORE_THRESH_TEST = score_thresh
    cfg.MODEL.RETINANET.TOPK_CANDIDATES_TEST = 50
    model = build_model(cfg).eval()
    plain = plain_twin(cfg, model).eval()
    sizes = [(8, 10), (4, 5), (2, 3), (1, 2), (1, 1)]
    features = [torch.zeros(2, 16, *size) for size in sizes]
    logits = [torch.randn(2, 3 * C, *size) for size in sizes]
    deltas = [0.3 * torch.randn(2, 3 * 4, *size) for size in sizes]
    images = ImageList(torch.zeros(2, 3, 64, 80), [(64, 80), (60, 70)])
    expected = plain.forward_inference(images, features, [[x.clone() for x in logits], deltas])
    results = model.forward_inference(images, features, [logits, deltas])
    for found, instances in zip(results, expected):
        assert len(found) == len(instances) > 20
        torch.testing.assert_close(found.scores, instances.scores)
        torch.testing.assert_close(found.pred_boxes.tensor, instances.pred_boxes.tensor)
        assert torch.equal(found.pred_classes, instances.pred_classes)


@pytest.mark.parametrize("score_thresh", [1.0, 1.5, float("nan")])
def test_a_threshold_that_no_score_passes_is_refused(cfg, score_thresh):
    """1.0 divided by zero at the first test image, after the training."""
    cfg.MODEL.RETINANET.SCORE_THRESH_TEST = score_thresh
    with pytest.raises(InputError, match=f"SCORE_THRESH_TEST. is {score_thresh}: give a number be"):
        build_model(cfg)


def test_top_candidates_equal_the_dense_way():
    logits = torch.randn(2 * C, 3, 4)
    dense = logits.view(2, C, 3, 4).permute(2, 3, 0, 1).reshape(-1, C).sigmoid()
    scores, anchor, classes = top_candidates(logits, C, 0.3, 20)
    torch.testing.assert_close(dense[anchor, classes], scores)
    expected = dense[dense > 0.3].sort(descending=True)[0][:20]
    torch.testing.assert_close(scores, expected)


@pytest.mark.parametrize("loss", ["EFL", "EQFL", "FocalLoss"])
@pytest.mark.parametrize("num_objects", [2, 0])
def test_losses_train_with_and_without_objects(cfg, loss, num_objects):
    cfg.MODEL.EQL.LOSS = loss
    model = build_model(cfg)
    losses = losses_of(model, batch(num_objects, num_objects))
    assert all(value.isfinite() for value in losses.values())
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    statistics = find_statistics(model)
    assert list(statistics) == ([] if loss == "FocalLoss" else ["loss_cls"])
    for module in statistics.values():
        assert module.neg_grad.min() > 0
        assert (module.pos_grad > 0).tolist() == [
            num_objects > 0,
            False,
            False,
            num_objects > 0,
            False,
        ]


def test_t13_a_marked_anchor_lands_in_its_own_accumulator(cfg):
    cfg.MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS = [[0.7, 1.4]]  # A = 2
    model = build_model(cfg)
    sizes = [(8, 10), (4, 5), (2, 3)]
    logits = [torch.full((1, 2 * C, *size), -100.0) for size in sizes]
    deltas = [torch.zeros(1, height * width * 2, 4) for height, width in sizes]
    anchors = [Boxes(torch.tensor([[0.0, 0, 8, 8]]).repeat(h * w * 2, 1)) for h, w in sizes]
    logits[1][0, 1 * C + 3, 2, 4] = 1.0  # level 1, anchor 1, class 3
    labels = torch.full((200 + 12,), C)
    labels[160 + (2 * 5 + 4) * 2 + 1] = 3
    with EventStorage():
        model.losses(anchors, logits, [labels], deltas, [torch.rand(212, 4)])
    (statistics,) = find_statistics(model).values()
    assert statistics.pos_grad.nonzero().tolist() == [[3]]
    assert statistics.neg_grad.sum() == 0


def test_t12_two_stage_losses_are_refused(cfg):
    cfg.MODEL.EQL.LOSS = "EQLv2"
    with pytest.raises(InputError, match="EQLv2 is not for one-stage detectors.*use EFL"):
        build_model(cfg)


def test_dense_losses_are_refused_in_a_box_head(tiny_cfg):
    tiny_cfg.MODEL.EQL.LOSS = "EFL"
    with pytest.raises(InputError, match="EFL needs 5 columns but a box head has 6"):
        build_model(tiny_cfg)


def test_bf16_autocast_trains_as_float32(cfg):
    torch.manual_seed(0)
    model = build_model(cfg)
    assert_bf16_trains_as_float32(model, lambda model: losses_of(model, batch(2, 2)), rtol=0.02)

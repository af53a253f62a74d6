"""The predictor of a box head by itself."""

import math

import pytest
import torch
from detectron2.config import instantiate
from detectron2.layers import ShapeSpec
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.roi_heads.fast_rcnn import FastRCNNOutputLayers
from detectron2.utils.events import EventStorage

from eql_d2 import (
    SEQL,
    BalancedSoftmax,
    EQLFastRCNNOutputLayers,
    EQLv2,
    InputError,
    SeesawLoss,
    SigmoidCE,
    SoftmaxCE,
    SoftmaxEQL,
)
from eql_d2.engine.hooks import find_statistics
from tests.modeling.box_heads import C, predictor, proposals


def test_bias_starts_at_the_prior_of_the_loss():
    layer = predictor(loss_cls=EQLv2(C)).cls_score
    torch.testing.assert_close(layer.bias.sigmoid(), torch.full((C + 1,), 0.001))
    assert predictor(loss_cls=SoftmaxCE(C)).cls_score.bias.abs().max() == 0
    expected = -math.log(9)
    bias = predictor(loss_cls=EQLv2(C, prior_prob=0.1)).cls_score.bias
    assert bias[0].item() == pytest.approx(expected)


@pytest.mark.parametrize(
    "loss, plain",
    [
        (SoftmaxCE(C), {}),
        (SigmoidCE(C), {"use_sigmoid_ce": 1}),
        (SoftmaxEQL(C, tau=0.0), {}),
        (SEQL(C, torch.zeros(C), gamma=0.0), {}),
        (BalancedSoftmax(C, torch.ones(C)), {}),
    ],
    ids=["SoftmaxCE", "SigmoidCE", "SoftmaxEQL, tau 0", "SEQL, gamma 0", "BalancedSoftmax, equal"],
)
def test_baselines_and_limits_are_detectron2s_own_predictor(loss, plain):
    ours, theirs = predictor(loss_cls=loss), predictor(FastRCNNOutputLayers, **plain)
    theirs.load_state_dict(ours.state_dict(), strict=False)
    for statistics in find_statistics(ours).values():
        statistics.pos_grad.add_(torch.logspace(-3, 3, C))
    x, rows = torch.randn(12, 8), proposals(12, [0, 1, 2, 3, 4, 5] * 2)
    with EventStorage():
        for name, value in theirs.losses(theirs(x), rows).items():
            torch.testing.assert_close(ours.losses(ours(x), rows)[name], value)
    (expected,), (probs,) = (p.predict_probs(p(x), rows) for p in (theirs, ours))
    assert probs.shape == expected.shape == (12, C + 1)
    torch.testing.assert_close(probs[:, :C], expected[:, :C])
    (boxes,), _ = theirs.inference(theirs(x), rows)
    (own_boxes,), _ = ours.inference(ours(x), rows)
    torch.testing.assert_close(own_boxes.scores, boxes.scores)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("loss", [EQLv2(C), SigmoidCE(C), SoftmaxCE(C)])
def test_scores_of_half_precision_logits_are_float32(loss, dtype):
    layer = predictor(loss_cls=loss)
    logits, deltas = torch.randn(12, C + 1), torch.zeros(12, 4 * C)
    logits[:, C] = 10.0  # a background so sure that half precision rounds it to 1
    (probs,) = layer.predict_probs((logits.to(dtype), deltas), proposals(12, [0] * 12))
    assert probs.dtype == torch.float32
    torch.testing.assert_close(probs[:, :C], loss.scores(logits.to(dtype).float()))
    assert probs[:, :C].min() > 0


@pytest.mark.parametrize(
    "loss",
    [
        EQLv2(C),
        SoftmaxEQL(C),
        SEQL(C, torch.zeros(C)),
        BalancedSoftmax(C, torch.arange(1, C + 1)),
        SeesawLoss(C),
    ],
)
def test_empty_and_background_batches_train(loss):
    layer = predictor(loss_cls=loss)
    for rows in (proposals(0, torch.zeros(0, dtype=torch.long)), proposals(4, [C] * 4)):
        with EventStorage():
            losses = layer.losses(layer(torch.randn(len(rows[0]), 8)), rows)
        sum(losses.values()).backward()
        assert all(value.isfinite() for value in losses.values())
    assert all(p.grad.isfinite().all() for p in layer.parameters())


def test_loss_of_another_number_of_classes_is_refused():
    with pytest.raises(InputError, match="EQLv2 is for 7 classes but the head has 5"):
        predictor(loss_cls=EQLv2(7))


def test_federated_loss_is_refused():
    with pytest.raises(InputError, match="use_fed_loss cannot be combined with EQLv2"):
        predictor(loss_cls=EQLv2(C), use_fed_loss=True)


def test_lazy_config_swaps_the_predictor_in_two_lines():
    from detectron2.config import LazyCall as L

    cfg = L(FastRCNNOutputLayers)(
        input_shape=ShapeSpec(channels=8),
        box2box_transform=L(Box2BoxTransform)(weights=(10, 10, 5, 5)),
        num_classes=C,
        use_sigmoid_ce=True,
    )
    cfg._target_ = EQLFastRCNNOutputLayers
    cfg.loss_cls = L(EQLv2)(num_classes="${..num_classes}")
    assert instantiate(cfg).loss_cls.num_classes == C

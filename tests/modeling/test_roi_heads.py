import copy
import math

import pytest
import torch
from detectron2.config import instantiate
from detectron2.export.flatten import TracingAdapter
from detectron2.export.torchscript import scripting_with_instances
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_model
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.roi_heads.fast_rcnn import FastRCNNOutputLayers
from detectron2.structures import Boxes, Instances
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


def train_step(model, inputs):
    with EventStorage():
        losses = model.train()(inputs)
        sum(losses.values()).backward()
    return losses


def assert_bf16_trains_as_float32(model, step, rtol, atol=0.0):
    """Two steps without an update; the second has the weights that the first's statistics give.

    Compared are the losses, the statistics of each class, and the gradient of the classifier's
    bias: that of the logits, summed. Further back an untrained network amplifies the rounding.
    """
    half = copy.deepcopy(model)
    for seed in range(2):
        torch.manual_seed(seed)  # of the samplers
        expected = step(model)
        torch.manual_seed(seed)
        with torch.autocast("cpu", torch.bfloat16):
            losses = step(half)
        torch.testing.assert_close(losses, expected, rtol=rtol, atol=atol)
    found, expected = (
        {name: statistics.state_dict() for name, statistics in find_statistics(m).items()}
        for m in (half, model)
    )
    assert expected
    torch.testing.assert_close(found, expected, rtol=rtol, atol=0)
    for name, parameter in half.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad.isfinite().all(), name
        if name.endswith(("cls_score.bias", "classifier.bias")):
            expected = model.get_parameter(name).grad
            worst = (parameter.grad - expected).abs().max()
            assert worst <= rtol * expected.abs().max(), name


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


def test_detectron2s_own_federated_loss_trains_on_own_data(registered_cfg):
    """It draws the negative classes by the counts of the registration."""
    registered_cfg.MODEL.ROI_HEADS.NAME = "StandardROIHeads"
    box_head = registered_cfg.MODEL.ROI_BOX_HEAD
    box_head.USE_SIGMOID_CE = box_head.USE_FED_LOSS = True
    box_head.FED_LOSS_NUM_CLASSES = 4
    model = build_model(registered_cfg)
    weights = model.roi_heads.box_predictor.fed_loss_cls_weights
    torch.testing.assert_close(weights, torch.tensor([8.0, 4, 2, 2, 1]).sqrt())
    losses = train_step(model, bitmask_batch())
    assert losses["loss_cls"] > 0
    # Classes 0 and 3 are in the images; one or two of the others are left out.
    left_out = model.roi_heads.box_predictor.cls_score.bias.grad[:C] == 0
    assert left_out[[1, 2, 4]].any() and not left_out[[0, 3]].any()


def test_unknown_loss_is_refused(tiny_cfg):
    tiny_cfg.MODEL.EQL.LOSS = "EQLv3"
    with pytest.raises(InputError, match="MODEL.EQL.LOSS is 'EQLv3'.*EQL, EQLv2"):
        build_model(tiny_cfg)


def test_cascade_keeps_statistics_for_each_stage(tiny_cfg):
    tiny_cfg.MODEL.ROI_HEADS.NAME = "EQLCascadeROIHeads"
    tiny_cfg.MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG = True
    model = build_model(tiny_cfg)
    losses = train_step(model, bitmask_batch())
    assert {"loss_cls_stage0", "loss_cls_stage1", "loss_cls_stage2", "loss_mask"} <= set(losses)
    statistics = find_statistics(model)
    assert sorted(statistics) == [f"roi_heads.box_predictor.{i}.loss_cls" for i in range(3)]
    sums = [s.neg_grad.sum().item() for s in statistics.values()]
    assert len(set(sums)) == 3 and min(sums) > 0
    weights = [p.box2box_transform.weights for p in model.roi_heads.box_predictor]
    assert weights == [tuple(w) for w in tiny_cfg.MODEL.ROI_BOX_CASCADE_HEAD.BBOX_REG_WEIGHTS]
    assert len(model.eval()(batch(1))[0]["instances"]) > 0


def test_res5_heads_train_and_predict(tiny_cfg):
    tiny_cfg.MODEL.BACKBONE.NAME = "build_resnet_backbone"
    tiny_cfg.MODEL.RESNETS.OUT_FEATURES = ["res4"]
    tiny_cfg.MODEL.RPN.IN_FEATURES = tiny_cfg.MODEL.ROI_HEADS.IN_FEATURES = ["res4"]
    tiny_cfg.MODEL.ANCHOR_GENERATOR.SIZES = [[16, 32]]
    tiny_cfg.MODEL.ROI_HEADS.NAME = "EQLRes5ROIHeads"
    model = build_model(tiny_cfg)
    losses = train_step(model, bitmask_batch())
    assert {"loss_cls", "loss_mask"} <= set(losses)
    assert model.roi_heads.box_predictor.loss_cls.statistics.neg_grad.min() > 0


def test_keypoint_branch_keeps_working(tiny_cfg):
    from detectron2.structures import Keypoints

    tiny_cfg.MODEL.KEYPOINT_ON, tiny_cfg.MODEL.MASK_ON = True, False
    tiny_cfg.MODEL.ROI_KEYPOINT_HEAD.NUM_KEYPOINTS = 2
    tiny_cfg.MODEL.ROI_KEYPOINT_HEAD.CONV_DIMS = [8]
    tiny_cfg.MODEL.ROI_KEYPOINT_HEAD.POOLER_RESOLUTION = 7
    inputs = batch()
    for x in inputs:
        x["instances"].remove("gt_masks")
        x["instances"].gt_keypoints = Keypoints(torch.tensor([[[9.0, 9, 2], [20, 20, 2]]] * 2))
    losses = train_step(build_model(tiny_cfg), inputs)
    assert {"loss_cls", "loss_keypoint"} <= set(losses)


def test_bf16_autocast_trains_the_whole_model_as_float32(tiny_cfg):
    torch.manual_seed(0)
    model = build_model(tiny_cfg)
    # Box deltas near zero have a loss of 0.002, of which rounding is a larger share.
    assert_bf16_trains_as_float32(
        model, lambda model: train_step(model, bitmask_batch()), rtol=0.05, atol=1e-3
    )


def test_training_leaves_no_tensor_on_the_predictor(tiny_cfg):
    """T10."""
    model = build_model(tiny_cfg)
    train_step(model, bitmask_batch())
    layer = model.roi_heads.box_predictor
    held = [k for m in layer.modules() for k, v in vars(m).items() if torch.is_tensor(v)]
    assert not held
    copy.deepcopy(model)  # a tensor of the graph could not be copied


@pytest.mark.parametrize(
    "loss", ["EQLv2", "EQL", "SoftmaxCE", "SoftmaxEQL", "BalancedSoftmax", "SeesawLoss"]
)
@pytest.mark.slow
def test_export_by_tracing_and_scripting_equals_eager(tiny_cfg, loss):
    tiny_cfg.MODEL.EQL.LOSS = loss
    assert_exports_equal_eager(build_model(tiny_cfg).eval(), batch(1)[0]["image"])


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

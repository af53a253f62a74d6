"""Two-stage detectors with the box heads of this project."""

import copy

import pytest
import torch
from detectron2.modeling import build_model

from eql_d2 import InputError
from eql_d2.engine.hooks import find_statistics
from tests.modeling.box_heads import C, assert_exports_equal_eager, batch, bitmask_batch
from tests.modeling.half_precision import assert_bf16_trains_as_float32
from tests.modeling.training_step import losses_of


def test_detectron2s_own_federated_loss_trains_on_own_data(registered_cfg):
    """It draws the negative classes by the counts of the registration."""
    registered_cfg.MODEL.ROI_HEADS.NAME = "StandardROIHeads"
    box_head = registered_cfg.MODEL.ROI_BOX_HEAD
    box_head.USE_SIGMOID_CE = box_head.USE_FED_LOSS = True
    box_head.FED_LOSS_NUM_CLASSES = 4
    model = build_model(registered_cfg)
    weights = model.roi_heads.box_predictor.fed_loss_cls_weights
    torch.testing.assert_close(weights, torch.tensor([8.0, 4, 2, 2, 1]).sqrt())
    losses = losses_of(model, bitmask_batch())
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
    losses = losses_of(model, bitmask_batch())
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
    losses = losses_of(model, bitmask_batch())
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
    losses = losses_of(build_model(tiny_cfg), inputs)
    assert {"loss_cls", "loss_keypoint"} <= set(losses)


def test_bf16_autocast_trains_the_whole_model_as_float32(tiny_cfg):
    torch.manual_seed(0)
    model = build_model(tiny_cfg)
    # Box deltas near zero have a loss of 0.002, of which rounding is a larger share.
    assert_bf16_trains_as_float32(
        model, lambda model: losses_of(model, bitmask_batch()), rtol=0.05, atol=1e-3
    )


def test_training_leaves_no_tensor_on_the_predictor(tiny_cfg):
    """T10."""
    model = build_model(tiny_cfg)
    losses_of(model, bitmask_batch())
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

import sys

import pytest
import timm
import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import get_cfg
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_backbone
from torch import nn

from eql_d2 import InputError, TimmBackbone, add_eql_config
from eql_d2.engine import Trainer
from tests.conftest import as_retinanet

LITE0 = "tf_efficientnet_lite0"


@pytest.fixture
def cfg():
    cfg = get_cfg()
    add_eql_config(cfg)
    cfg.MODEL.BACKBONE.NAME = "build_timm_backbone"
    cfg.MODEL.BACKBONE.FREEZE_AT = 0
    cfg.MODEL.FPN.IN_FEATURES = ["res2", "res3", "res4", "res5"]
    cfg.MODEL.FPN.OUT_CHANNELS = 16
    return cfg


@pytest.mark.parametrize(
    ("name", "first"),
    [(LITE0, 1), ("mobilenetv3_small_050", 1), ("resnet10t", 1), ("convnext_atto", 2)],
)
def test_features_have_the_channels_and_strides_that_output_shape_says(name, first):
    backbone = TimmBackbone(name, [f"res{level}" for level in range(first, 6)])
    shapes = backbone.output_shape()
    assert [shape.stride for shape in shapes.values()] == [2**k for k in range(first, 6)]
    features = backbone(torch.randn(2, 3, 64, 96))
    assert list(features) == list(shapes)
    for feature, shape in zip(features.values(), shapes.values()):
        assert feature.shape == (2, shape.channels, 64 // shape.stride, 96 // shape.stride)


def test_parameters_keep_the_names_of_timm():
    """Also where timm's own lists of features rename them, stages.0 to stages_0."""
    for name, parameter in [
        (LITE0, "blocks.1.0.conv_pw.weight"),
        ("convnext_atto", "stages.0.blocks.0.conv_dw.weight"),
    ]:
        assert f"network.model.{parameter}" in TimmBackbone(name).state_dict()


@pytest.mark.parametrize("name", ["resnet10t", "convnext_atto"])
def test_state_dict_of_timm_loads_by_name(tmp_path, name):
    network = timm.create_model(name)
    torch.save(network.state_dict(), tmp_path / "timm.pth")
    model = nn.ModuleDict({"backbone": TimmBackbone(name, norm="BN")})
    DetectionCheckpointer(model).load(f"{tmp_path}/timm.pth?matching_heuristics=True")
    for own, value in model["backbone"].network.model.state_dict().items():
        assert torch.equal(value, network.state_dict()[own]), own


def test_what_no_wanted_feature_needs_is_left_out():
    backbone = TimmBackbone(LITE0, ["res3"], norm="BN")
    features = backbone(torch.randn(2, 3, 32, 32))
    assert list(features) == ["res3"]
    features["res3"].sum().backward()
    assert all(parameter.grad is not None for parameter in backbone.parameters())


def norms(backbone):
    return {
        name: module
        for name, module in backbone.named_modules()
        if isinstance(module, nn.BatchNorm2d)
    }


def test_frozen_batch_norm_learns_nothing():
    backbone = TimmBackbone(LITE0, norm="FrozenBN")
    assert not norms(backbone)
    before = {name: value.clone() for name, value in backbone.named_buffers()}
    backbone(torch.randn(2, 3, 64, 64))
    for name, value in backbone.named_buffers():
        assert torch.equal(value, before[name]), name
    assert "network.model.bn1.weight" in before


def test_h_frozen_batch_norm_keeps_the_activation():
    """timm's batch norm holds it: Detectron2's convert_frozen_batchnorm would leave it out."""
    trained, frozen = (TimmBackbone(LITE0, norm=norm).eval() for norm in ("BN", "FrozenBN"))
    frozen.load_state_dict(trained.state_dict(), strict=False)
    images = torch.randn(1, 3, 64, 64)
    found, expected = frozen(images), trained(images)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5)
    activations = [m for m in frozen.modules() if isinstance(m, nn.ReLU6)]
    assert len(activations) == len([m for m in trained.modules() if isinstance(m, nn.ReLU6)]) > 0


@pytest.mark.parametrize(("freeze_at", "last_stage"), [(1, 0), (2, 1), (4, 4)])
def test_freeze_at_freezes_what_the_feature_is_computed_from_and_no_more(freeze_at, last_stage):
    backbone = TimmBackbone(LITE0, norm="BN", freeze_at=freeze_at)

    def is_behind(name):
        _, _, layer, stage, *_ = name.split(".")
        return layer == "blocks" and int(stage) > last_stage

    requires_grad = {name: value.requires_grad for name, value in backbone.named_parameters()}
    assert requires_grad == {name: is_behind(name) for name in requires_grad}
    assert set(requires_grad.values()) == {True, False}
    assert all(map(is_behind, norms(backbone)))  # the others are frozen ones
    assert backbone.training and backbone.network.model.blocks.training


def test_freezing_leaves_random_numbers_and_running_means_alone():
    torch.manual_seed(0)
    expected = TimmBackbone(LITE0, norm="BN")
    random_state = torch.get_rng_state()
    torch.manual_seed(0)
    frozen = TimmBackbone(LITE0, norm="BN", freeze_at=2)
    assert torch.equal(torch.get_rng_state(), random_state)
    own = frozen.state_dict()
    for name, value in expected.state_dict().items():
        assert name not in own or torch.equal(own[name], value), name


def test_networks_without_batch_norm_can_be_frozen():
    backbone = TimmBackbone("convnext_atto", freeze_at=2)
    parameters = dict(backbone.network.model.named_parameters())
    assert not parameters["stages.0.blocks.1.mlp.fc2.bias"].requires_grad
    assert parameters["stages.1.downsample.0.weight"].requires_grad


def test_backbone_takes_as_many_channels_as_pixel_mean(cfg):
    cfg.MODEL.PIXEL_MEAN = [0.0] * 4
    cfg.MODEL.BACKBONE.FREEZE_AT = 2
    assert build_backbone(cfg)(torch.randn(1, 4, 32, 32))["res5"].shape == (1, 320, 1, 1)


@pytest.mark.parametrize(
    ("builder", "in_features", "strides"),
    [
        ("build_timm_fpn_backbone", ["res2", "res3", "res4", "res5"], [4, 8, 16, 32, 64]),
        ("build_timm_retinanet_fpn_backbone", ["res3", "res4", "res5"], [8, 16, 32, 64, 128]),
        ("build_timm_retinanet_fpn_backbone", ["res3", "res4"], [8, 16, 32, 64]),
    ],
)
def test_pyramid_has_the_levels_of_the_detector(cfg, builder, in_features, strides):
    cfg.MODEL.BACKBONE.NAME, cfg.MODEL.FPN.IN_FEATURES = builder, in_features
    backbone = build_backbone(cfg)
    features = backbone(torch.randn(1, 3, 128, 128))
    assert [f"p{stride.bit_length() - 1}" for stride in strides] == list(features)
    for feature, stride in zip(features.values(), strides):
        assert feature.shape == (1, 16, 128 // stride, 128 // stride)
    assert backbone.size_divisibility == strides[len(in_features) - 1]


def as_timm(cfg, builder):
    cfg.MODEL.BACKBONE.NAME = builder
    cfg.MODEL.BACKBONE.FREEZE_AT = 2
    cfg.MODEL.FPN.NORM = "GN"
    cfg.MODEL.FPN.OUT_CHANNELS = 32
    cfg.DATASETS.TEST = ()
    cfg.SOLVER.MAX_ITER = 2
    return cfg


@pytest.mark.parametrize("one_stage", [False, True])
def test_detector_trains_behind_the_frozen_part(registered_cfg, one_stage):
    cfg = as_retinanet(registered_cfg) if one_stage else registered_cfg
    name = "build_timm_retinanet_fpn_backbone" if one_stage else "build_timm_fpn_backbone"
    trainer = Trainer(as_timm(cfg, name))
    network = trainer.model.backbone.bottom_up.network.model
    before = {name: value.clone() for name, value in network.state_dict().items()}
    trainer.train()
    after = network.state_dict()
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    trained = {name for name, value in network.named_parameters() if value.requires_grad}
    assert changed == trained and "blocks.6.0.conv_pwl.weight" in trained


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("TIMM.NAME", "lite-0", "MODEL.TIMM.NAME. is 'lite-0': choose one of timm.list_models"),
        ("TIMM.NORM", "GN", "MODEL.TIMM.NORM. is 'GN': choose BN or FrozenBN"),
        ("TIMM.OUT_FEATURES", ["res2", "p3"], "has p3: choose of res1, res2, res3, res4, res5"),
        ("TIMM.OUT_FEATURES", [], "OUT_FEATURES. has no feature: choose of res1"),
        ("BACKBONE.FREEZE_AT", 7, "FREEZE_AT. is 7, but there is no res7: choose 0, or the number"),
        ("FPN.IN_FEATURES", ["res2", "res6"], "MODEL.FPN.IN_FEATURES has res6: choose of res2"),
        ("FPN.IN_FEATURES", [], "MODEL.FPN.IN_FEATURES has no feature: choose of res2"),
    ],
)
def test_what_timm_or_the_network_does_not_have_gets_one_line(cfg, key, value, message):
    cfg.merge_from_list([f"MODEL.{key}", value])
    for builder in ("build_timm_fpn_backbone", "build_timm_retinanet_fpn_backbone"):
        cfg.MODEL.BACKBONE.NAME = builder
        with pytest.raises(InputError, match=message) as error:
            build_backbone(cfg, ShapeSpec(channels=3))
        assert "\n" not in str(error.value)


def test_missing_timm_gets_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(
        InputError, match="a backbone from timm needs it: pip install .timm>=1.0.16.$"
    ):
        TimmBackbone(LITE0)

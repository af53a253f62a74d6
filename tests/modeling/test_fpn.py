import pytest
import torch
import torch.nn.functional as F
from detectron2.layers import ShapeSpec
from detectron2.modeling.backbone.fpn import build_resnet_fpn_backbone
from torch import nn

from eql_d2.modeling import build_improved_baseline_resnet_fpn_backbone


@pytest.fixture
def cfg(tiny_cfg):
    tiny_cfg.MODEL.RESNETS.OUT_FEATURES = ["res3", "res4", "res5"]
    tiny_cfg.MODEL.FPN.IN_FEATURES = ["res3", "res4", "res5"]
    return tiny_cfg


@pytest.fixture
def backbone(cfg):
    torch.manual_seed(0)
    backbone = build_improved_baseline_resnet_fpn_backbone(cfg, ShapeSpec(channels=3)).eval()
    for module in backbone.modules():
        if isinstance(module, nn.Conv2d) and module.bias is not None:
            nn.init.normal_(module.bias)  # a lateral whose bias were added twice would be found
    return backbone


@pytest.fixture
def images():
    return torch.randn(2, 3, 64, 128, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_p6_is_a_convolution_of_the_lateral_of_c5_and_p7_one_of_p6_without_relu(backbone, images):
    weights = backbone.state_dict()

    def conv(x, name, **kwargs):
        return F.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], **kwargs)

    lateral = conv(backbone.bottom_up(images)["res5"], "fpn_lateral5")
    p6 = conv(lateral, "top_block.p6", stride=2, padding=1)
    p7 = conv(p6, "top_block.p7", stride=2, padding=1)
    features = backbone(images)
    assert list(features) == ["p3", "p4", "p5", "p6", "p7"] and (p6 < 0).any()
    torch.testing.assert_close(features["p6"], p6)
    torch.testing.assert_close(features["p7"], p7)
    assert [tuple(f.shape[2:]) for f in features.values()][-2:] == [(1, 2), (1, 1)]


@torch.no_grad()
@pytest.mark.parametrize("fuse_type", ["sum", "avg"])
def test_p3_to_p5_are_detectron2s(cfg, backbone, images, fuse_type):
    cfg.MODEL.FPN.FUSE_TYPE = fuse_type
    plain = build_resnet_fpn_backbone(cfg, ShapeSpec(channels=3)).eval()
    plain.load_state_dict(backbone.state_dict(), strict=False)
    backbone._fuse_type = fuse_type
    features, expected = backbone(images), plain(images)
    for name in ("p3", "p4", "p5"):
        torch.testing.assert_close(features[name], expected[name])


def test_images_are_padded_to_multiples_of_64(backbone):
    assert backbone.size_divisibility == 64
    shapes = backbone.output_shape()
    assert [shapes[f"p{k}"].stride for k in range(3, 8)] == [8, 16, 32, 64, 128]
    assert {shape.channels for shape in shapes.values()} == {16}

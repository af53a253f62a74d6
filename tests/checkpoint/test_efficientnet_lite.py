import sys

import pytest
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling.backbone.fpn import build_resnet_fpn_backbone
from torch import nn

from eql_d2 import InputError, TimmBackbone
from eql_d2.checkpoint import EQLCheckpointer, efficientnet_lite
from eql_d2.checkpoint.efficientnet_lite import convert_efficientnet_lite
from eql_d2.modeling import build_timm_fpn_backbone
from tests.reference.efficientnet_lite import EfficientNetLite0


@pytest.fixture(scope="module")
def reference():
    """With random weights, and batch norms that have learned."""
    torch.manual_seed(0)
    network = EfficientNetLite0()
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return network.eval()


@pytest.fixture
def file(reference, tmp_path):
    torch.save(reference.state_dict(), tmp_path / "package.pth")
    return str(tmp_path / "package.pth")


def convert(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["efficientnet_lite", *map(str, arguments)])
    efficientnet_lite.main()


def test_names_of_package_and_timm_map_one_to_one(reference):
    own = {
        name.removeprefix("network.model."): value.shape
        for name, value in TimmBackbone("tf_efficientnet_lite0").state_dict().items()
    }
    converted = convert_efficientnet_lite(reference.state_dict())
    assert {name: value.shape for name, value in converted.items()} == own
    assert len({value.data_ptr() for value in converted.values()}) == len(own)


@pytest.mark.parametrize("norm", ["BN", "FrozenBN"])
def test_features_with_the_weights_are_those_of_the_network_they_are_for(reference, norm):
    backbone = TimmBackbone("tf_efficientnet_lite0", norm=norm).eval()
    network = backbone.network.model
    network.load_state_dict(convert_efficientnet_lite(reference.state_dict()), strict=norm != "BN")
    images = torch.randn(2, 3, 64, 96)
    for found, expected in zip(backbone(images).values(), reference(images), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_h_the_namesake_of_timm_pads_otherwise_and_has_other_features(reference):
    backbone = TimmBackbone("efficientnet_lite0").eval()
    backbone.network.model.load_state_dict(convert_efficientnet_lite(reference.state_dict()))
    images = torch.randn(1, 3, 64, 64)
    found, expected = backbone(images)["res5"], reference(images)[-1]
    assert (found - expected).abs().mean() > 0.1 * expected.abs().mean()


def test_file_of_the_command_loads_into_a_detector_without_an_option(
    tiny_cfg, file, tmp_path, monkeypatch, reference
):
    convert(monkeypatch, file, tmp_path / "lite0.pth")
    model = nn.ModuleDict({"backbone": build_timm_fpn_backbone(tiny_cfg, ShapeSpec(channels=3))})
    EQLCheckpointer(model).load(str(tmp_path / "lite0.pth"))
    own = model["backbone"].bottom_up.network.model.state_dict()
    for name, value in convert_efficientnet_lite(reference.state_dict()).items():
        assert torch.equal(own[name], value), name


@pytest.mark.parametrize("norm", ["BN", "FrozenBN"])
def test_nothing_of_the_file_is_left_over_and_nothing_of_the_network_is_missing(
    tiny_cfg, file, tmp_path, monkeypatch, norm
):
    tiny_cfg.MODEL.TIMM.NORM = norm
    convert(monkeypatch, file, tmp_path / "lite0.pth")
    model = nn.ModuleDict({"backbone": build_timm_fpn_backbone(tiny_cfg, ShapeSpec(channels=3))})
    incompatible = EQLCheckpointer(model)._load_model(torch.load(tmp_path / "lite0.pth"))
    assert not incompatible.unexpected_keys and not incompatible.incorrect_shapes
    assert all(name.startswith("backbone.fpn_") for name in incompatible.missing_keys)


def test_weights_of_another_network_are_refused(tiny_cfg, tmp_path, monkeypatch, capsys):
    resnet = build_resnet_fpn_backbone(tiny_cfg, ShapeSpec(channels=3))
    torch.save(resnet.state_dict(), tmp_path / "resnet.pth")
    for path, message in [
        (tmp_path / "resnet.pth", "'fpn_lateral2.weight' is no weight of EfficientNet-Lite"),
        (tmp_path / "nowhere.pth", "nowhere.pth' cannot be read"),
    ]:
        with pytest.raises(SystemExit):
            convert(monkeypatch, path, tmp_path / "out.pth")
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
    assert not (tmp_path / "out.pth").exists()


def test_what_is_no_state_dict_is_refused(tmp_path):
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(InputError, match="list.pth' is no state dict: give the .pth file"):
        efficientnet_lite._read(str(tmp_path / "list.pth"))

"""The network of YOLOX computes what its tables say, and what a fork of Megvii's code does."""

import importlib
import importlib.util
import sys
import types
from pathlib import Path
from unittest import mock

import pytest
import torch
from detectron2.modeling import build_model
from torch import nn

from eql_d2.modeling.yolox import YOLOPAFPN, CSPDarknet
from tests.modeling.yolox import as_yolox_ip
from tests.reference import yolox

FACTORS = {"S": (0.33, 0.5), "M": (0.67, 0.75)}


def build(size, shortcut, by_rows):
    depth, width = FACTORS[size]
    bottom_up = CSPDarknet(depth, width, "row_major" if by_rows else "column_major")
    return YOLOPAFPN(bottom_up, depth, shortcut).double().eval()


def weights(size):
    """By Megvii's names, which are ours."""
    torch.manual_seed(0)
    return {
        name: value.double()
        for name, value in yolox.state_dict(yolox.random_tensor, yolox.MEGVII, size, 3, 1).items()
    }


def load(model, state):
    names = {n: v for n, v in state.items() if n.startswith("backbone.")}
    model.load_state_dict({n.removeprefix("backbone."): v for n, v in names.items()})
    return model


@pytest.fixture
def image():
    torch.manual_seed(1)
    return torch.rand(2, 3, 64, 96).double() * 2 - 1


@torch.no_grad()
@pytest.mark.parametrize("by_rows", [True, False])
@pytest.mark.parametrize("shortcut", [True, False])
@pytest.mark.parametrize("size", FACTORS)
def test_features_are_those_of_the_tables(size, shortcut, by_rows, image):
    state = weights(size)
    model = load(build(size, shortcut, by_rows), state)
    expected = yolox.Network(state, yolox.MEGVII, size, shortcut, by_rows).features(image)
    found = model(image)
    assert list(found) == ["p3", "p4", "p5"]
    for value, level in zip(found.values(), expected, strict=True):
        assert level.std() > 0.05  # neither dead nor constant
        torch.testing.assert_close(value, level, rtol=1e-7, atol=1e-7)
    # Shapes do not tell these two.
    for other in ((not shortcut, by_rows), (shortcut, not by_rows)):
        levels = yolox.Network(state, yolox.MEGVII, size, *other).features(image)
        assert all((a - b).abs().max() > 0.01 for a, b in zip(levels, expected))


@torch.no_grad()
@pytest.mark.parametrize("size", FACTORS)
def test_without_shortcut_features_are_those_of_a_fork_of_megvii_s_code(size, image):
    depth, width = FACTORS[size]
    oracle = oracle_class()(depth, width).double().eval()
    for module in oracle.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 1e-3
    state = weights(size)
    found = load(build(size, shortcut=False, by_rows=False), state)(image)
    for value, level in zip(found.values(), load(oracle, state)(image), strict=True):
        torch.testing.assert_close(value, level, rtol=1e-5, atol=1e-7)


def oracle_class():
    """``YoloPafpn`` of pixeltable-yolox, whose packages would import more than is installed."""
    root = Path(importlib.util.find_spec("yolox").submodule_search_locations[0])
    with mock.patch.dict(sys.modules):  # gone again afterwards
        for name, folder in (("yolox", root), ("yolox.models", root / "models")):
            sys.modules[name] = types.ModuleType(name)
            sys.modules[name].__path__ = [str(folder)]
        return importlib.import_module("yolox.models.yolo_pafpn").YoloPafpn


@pytest.mark.parametrize("size, published", [("S", 7_047_360), ("M", 21_032_160)])
def test_parameters_are_as_many_as_in_the_tables(tiny_cfg, size, published):
    cfg = as_yolox_ip(tiny_cfg)
    cfg.MODEL.YOLOX.DEPTH, cfg.MODEL.YOLOX.WIDTH = FACTORS[size]
    cfg.MODEL.RETINANET.NUM_CLASSES = 1203
    cfg.MODEL.DEVICE = "meta"
    with torch.device("meta"):
        model = build_model(cfg)
    names = yolox.UNITED_PERCEPTION
    network = yolox.num_parameters(yolox.backbone_and_neck(names, size))
    # The counts that two other libraries have
    assert network == published == sum(p.numel() for p in model.backbone.parameters())
    inner = {"S": 128, "M": 192}[size]
    last = 3 * (inner + 1) * 2 * (1203 + 4 + 1)  # weights and a bias, of three levels
    head = yolox.num_parameters(yolox.head_blocks(names, size)) + last
    assert head == sum(p.numel() for p in model.head.parameters())
    assert network + head == sum(p.numel() for p in model.parameters())

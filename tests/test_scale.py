"""The numbers of docs/scale.md."""

import importlib.util
from pathlib import Path

import pytest
import torch
from detectron2.modeling import build_model
from fvcore.nn import FlopCountAnalysis
from torch import nn

from eql_d2.engine.hooks import find_statistics
from tests.conftest import as_retinanet

DOCS = Path(__file__).parents[1] / "docs"
SIZE = (64, 96)


def load_script():
    spec = importlib.util.spec_from_file_location("scale", DOCS / "scale.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


scale = load_script()


class Layers(nn.Module):
    """All that the script calls of a model, as one module."""

    def __init__(self, model, boxes):
        super().__init__()
        self.model, self.boxes = model, boxes

    def forward(self, scaled):
        return tuple(scale.outputs(self.model, SIZE, self.boxes))


@pytest.mark.parametrize("is_one_stage", [False, True])
def test_flops_are_twice_the_multiply_adds_that_fvcore_counts(tiny_cfg, is_one_stage):
    """On the CPU, with a real forward."""
    model = build_model(as_retinanet(tiny_cfg) if is_one_stage else tiny_cfg).eval()
    boxes = scale.Boxes(7, 3)
    with torch.no_grad():
        counted = FlopCountAnalysis(Layers(model, boxes), torch.zeros(1))
        counted.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        by_operator = counted.by_operator()
    multiply_adds = sum(by_operator[name] for name in ("conv", "linear"))
    found = scale.forward_flops(model, SIZE, boxes)
    assert found == pytest.approx(2 * multiply_adds, rel=1e-6)


def test_training_is_three_forwards_less_what_is_frozen(tiny_cfg):
    model, boxes = build_model(tiny_cfg), scale.Boxes(64, 16)
    forward = scale.forward_flops(model, SIZE, boxes)
    assert 2.6 * forward < scale.training_flops(model, SIZE, boxes) < 3 * forward
    for parameter in model.backbone.bottom_up.parameters():
        parameter.requires_grad = False
    assert scale.training_flops(model, SIZE, boxes) < 2.6 * forward


def test_logits_and_statistics_are_those_of_the_model(tiny_cfg):
    model = build_model(tiny_cfg)
    statistics = next(iter(find_statistics(model).values()))
    size = sum(value.numel() * value.element_size() for value in statistics.buffers())
    assert scale.statistics_bytes(model) == size == 2 * 5 * 8
    assert scale.num_logits(model, SIZE, scale.boxes_in_training(tiny_cfg)) == 32 * 6
    model = build_model(as_retinanet(tiny_cfg)).to("meta")
    cells = sum(-(-64 // s) * -(-96 // s) for s in (8, 16, 32, 64, 128))
    assert scale.num_logits(model, SIZE, scale.Boxes(0, 0)) == cells * 3 * 5


def test_the_table_is_what_the_script_prints():
    lines = (DOCS / "scale.md").read_text().splitlines()
    assert set(scale.HEADER.splitlines()) <= set(lines)
    assert len([line for line in lines if line.startswith("| [")]) == len(scale.EXPERIMENTS)
    for experiment in (scale.EXPERIMENTS[5], scale.EXPERIMENTS[6]):
        assert scale.row(experiment) in lines

"""Which parameter has which weight decay: the recipe of YOLOX."""

import pytest
import torch
from detectron2.config import LazyCall as L
from detectron2.config import instantiate
from torch import nn

from eql_d2 import InputError
from eql_d2.solver import ClippedSGD, build_optimizer, get_optimizer_params

PATTERN = r"head\.cls_preds\..*bias"


class Head(nn.Module):
    def __init__(self):
        super().__init__()
        self.cls_preds = nn.ModuleList([nn.Conv2d(2, 3, 1) for _ in range(3)])
        self.obj_preds = nn.ModuleList([nn.Conv2d(2, 1, 1) for _ in range(3)])


@pytest.fixture
def model():
    stem = nn.Sequential(nn.Conv2d(3, 2, 3, bias=False), nn.BatchNorm2d(2))
    return nn.ModuleDict({"stem": stem, "head": Head()})


def decays(optimizer, model):
    names = {parameter: name for name, parameter in model.named_parameters()}
    pairs = [(names[p], g["weight_decay"]) for g in optimizer.param_groups for p in g["params"]]
    assert len(dict(pairs)) == len(pairs) == len(names)
    return dict(pairs)


def expected(model):
    """By hand: convolutions and the biases of the class predictions."""
    found = {}
    for name, parameter in model.named_parameters():
        is_decayed = parameter.dim() == 4 or ("cls_preds" in name and name.endswith("bias"))
        found[name] = 5e-4 if is_decayed else 0.0
    return found


@pytest.fixture
def cfg(tiny_cfg):
    tiny_cfg.SOLVER.update(WEIGHT_DECAY=5e-4, WEIGHT_DECAY_NORM=0.0, WEIGHT_DECAY_BIAS=0.0)
    tiny_cfg.SOLVER.update(NESTEROV=True, MOMENTUM=0.9)
    tiny_cfg.SOLVER.WEIGHT_DECAY_OVERRIDES = ((PATTERN, 5e-4),)
    return tiny_cfg


def test_yolox_decays_convolutions_and_the_biases_of_the_classes(cfg, model):
    optimizer = build_optimizer(cfg, model)
    assert decays(optimizer, model) == expected(model)
    assert type(optimizer) is torch.optim.SGD and len(optimizer.param_groups) == 2
    for group in optimizer.param_groups:
        assert (group["lr"], group["momentum"], group["nesterov"]) == (0.01, 0.9, True)


@pytest.mark.parametrize("kind", ["full_model", "value", "LAMB"])
def test_the_other_optimizers_have_the_same_decays(cfg, model, kind):
    if kind == "LAMB":
        cfg.SOLVER.OPTIMIZER = "LAMB"
    else:
        cfg.SOLVER.CLIP_GRADIENTS.update(ENABLED=True, CLIP_TYPE=kind, CLIP_VALUE=0.5)
    optimizer = build_optimizer(cfg, model)
    assert decays(optimizer, model) == expected(model)
    if kind == "full_model":
        assert type(optimizer) is ClippedSGD
    if kind == "value":  # Detectron2's clipping is still there
        for parameter in model.parameters():
            parameter.grad = torch.full_like(parameter, 7.0)
        optimizer.step()
        assert model["head"].cls_preds[0].bias.grad.max() == 0.5


def test_a_lazy_config_has_the_same(model):
    node = L(torch.optim.SGD)(
        params=L(get_optimizer_params)(
            weight_decay_norm=0.0, weight_decay_bias=0.0, weight_decay_overrides=[(PATTERN, 5e-4)]
        ),
        **{"lr": 0.04, "momentum": 0.9, "nesterov": True, "weight_decay": 5e-4},
    )
    node.params.model = model
    assert decays(instantiate(node), model) == expected(model)


def test_without_overrides_the_groups_are_detectron2s(cfg, model):
    cfg.SOLVER.WEIGHT_DECAY_OVERRIDES = ()
    found = decays(build_optimizer(cfg, model), model)
    assert {n for n, decay in found.items() if decay} == {
        n for n, p in model.named_parameters() if p.dim() == 4
    }


def test_the_last_expression_counts_and_frozen_parameters_stay_out(cfg, model):
    cfg.SOLVER.WEIGHT_DECAY_OVERRIDES = ((r".*", 0.1), (r"head\.obj_preds\.0\.bias", 0.2))
    model["head"].obj_preds[1].requires_grad_(False)
    optimizer = build_optimizer(cfg, model)
    names = {parameter: name for name, parameter in model.named_parameters()}
    found = {names[p]: g["weight_decay"] for g in optimizer.param_groups for p in g["params"]}
    assert found.pop("head.obj_preds.0.bias") == 0.2 and set(found.values()) == {0.1}
    assert not [name for name in found if "obj_preds.1" in name]


def test_an_expression_is_of_the_whole_name(cfg, model):
    cfg.SOLVER.WEIGHT_DECAY_OVERRIDES = (("cls_preds.0.bias", 0.1),)
    with pytest.raises(InputError, match="'cls_preds.0.bias' fits no parameter of the model"):
        build_optimizer(cfg, model)


@pytest.mark.parametrize("pair", [("(", 0.1), ("a", -1.0), ("a", "b"), ("a",), 3, "ab"])
def test_what_is_no_override_is_refused(cfg, model, pair):
    cfg.SOLVER.WEIGHT_DECAY_OVERRIDES = (pair,)
    with pytest.raises(InputError, match="in WEIGHT_DECAY_OVERRIDES .* is no pair of a regular"):
        build_optimizer(cfg, model)

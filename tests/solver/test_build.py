import copy
import pickle
import sys

import pytest
import torch
from torch import nn

from eql_d2 import InputError
from eql_d2.solver import ClippedSGD, build_lamb, build_optimizer


def test_all_gradients_are_scaled_by_one_factor():
    a, b = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    optimizer = ClippedSGD([a, b], max_norm=1.0, lr=1.0)
    a.grad, b.grad = torch.tensor([3.0]), torch.tensor([4.0])
    optimizer.step()
    assert (a.item(), b.item()) == pytest.approx((-0.6, -0.8), rel=1e-4)
    a.grad, b.grad = torch.tensor([0.3]), torch.tensor([0.4])
    optimizer.step()
    assert (a.item(), b.item()) == pytest.approx((-0.9, -1.2), rel=1e-4)


def test_full_model_clips_and_keeps_all_else(tiny_cfg):
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    tiny_cfg.SOLVER.WEIGHT_DECAY_NORM = 0.5
    plain = build_optimizer(tiny_cfg, model)
    tiny_cfg.SOLVER.CLIP_GRADIENTS.update(ENABLED=True, CLIP_TYPE="full_model", CLIP_VALUE=35.0)
    clipped = build_optimizer(tiny_cfg, model)
    assert type(plain) is torch.optim.SGD
    assert type(clipped) is ClippedSGD and clipped.max_norm == 35
    for ours, theirs in zip(clipped.param_groups, plain.param_groups):
        assert ours["params"] == theirs["params"]
        for key in ("lr", "weight_decay", "momentum", "nesterov"):
            assert ours[key] == theirs[key]


def test_f_there_is_one_key_for_clipping_and_the_old_one_is_no_longer_taken(tiny_cfg):
    """Release 0.1 had two, of which one vanished without a word."""
    model = nn.Linear(2, 2)
    tiny_cfg.SOLVER.CLIP_GRADIENTS.update(ENABLED=True, CLIP_TYPE="value", CLIP_VALUE=0.5)
    optimizer = build_optimizer(tiny_cfg, model)  # Detectron2's own, each parameter by itself
    model.weight.grad, model.bias.grad = torch.ones(2, 2), torch.ones(2)
    optimizer.step()
    assert model.weight.grad.max() == 0.5
    with pytest.raises(KeyError, match="CLIP_TYPE to full_model"):
        tiny_cfg.merge_from_list(["SOLVER.CLIP_GRADIENTS.FULL_MODEL_NORM", "35.0"])
    tiny_cfg.SOLVER.CLIP_GRADIENTS.CLIP_TYPE = "model"
    with pytest.raises(InputError, match="CLIP_TYPE is 'model': choose value, norm or full_model"):
        build_optimizer(tiny_cfg, model)


@pytest.mark.parametrize("norm", [-1.0, 0.0, float("nan"), float("inf")])
def test_a_norm_must_be_a_positive_number(norm):
    with pytest.raises(InputError, match=f"max_norm of ClippedSGD is {norm}"):
        ClippedSGD([nn.Parameter(torch.zeros(1))], max_norm=norm, lr=0.1)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copied_optimizer_clips_as_its_original(copied):
    parameter = nn.Parameter(torch.zeros(1))
    twin = copied(ClippedSGD([parameter], max_norm=0.5, lr=1.0, momentum=0.9))
    (of_twin,) = twin.param_groups[0]["params"]
    of_twin.grad = torch.tensor([8.0])
    twin.step()
    assert of_twin.item() == pytest.approx(-0.5) and parameter.item() == 0


def test_lamb_has_the_rates_and_decays_of_sgd_and_no_momentum(tiny_cfg):
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    tiny_cfg.SOLVER.update(WEIGHT_DECAY=0.02, WEIGHT_DECAY_NORM=0.5, BASE_LR=0.008)
    plain = build_optimizer(tiny_cfg, model)
    tiny_cfg.SOLVER.OPTIMIZER = "LAMB"
    lamb = build_optimizer(tiny_cfg, model)
    assert type(lamb).__name__ == "Lamb" and len(lamb.param_groups) == 2
    for ours, theirs in zip(lamb.param_groups, plain.param_groups):
        assert ours["params"] == theirs["params"] and "momentum" not in ours
        assert (ours["lr"], ours["weight_decay"]) == (theirs["lr"], theirs["weight_decay"])


def test_lamb_steps_by_the_size_of_the_weights():
    """The formula of the paper: the first step of Adam is the sign, scaled to the weight's norm."""
    weight = nn.Parameter(torch.tensor([3.0, -4.0]))
    optimizer = build_lamb([weight], lr=0.01, weight_decay=0.02)
    weight.grad = torch.tensor([0.3, 0.3])
    optimizer.step()
    update = 1 + 0.02 * torch.tensor([3.0, -4.0])  # bias-corrected m / sqrt(v) is 1
    expected = torch.tensor([3.0, -4.0]) - 0.01 * 5 * update / update.norm()
    torch.testing.assert_close(weight.detach(), expected, rtol=1e-4, atol=0)


def test_an_optimizer_that_cannot_be_is_refused(tiny_cfg, monkeypatch):
    model = nn.Linear(2, 2)
    tiny_cfg.SOLVER.OPTIMIZER = "Adam"
    with pytest.raises(InputError, match="SOLVER.OPTIMIZER is 'Adam': choose SGD or LAMB"):
        build_optimizer(tiny_cfg, model)
    tiny_cfg.SOLVER.OPTIMIZER = "LAMB"
    monkeypatch.setitem(sys.modules, "timm.optim", None)
    with pytest.raises(InputError, match="is timm's: pip install"):
        build_optimizer(tiny_cfg, model)
    tiny_cfg.SOLVER.CLIP_GRADIENTS.ENABLED = True
    with pytest.raises(InputError, match="LAMB clips by itself: set it to False"):
        build_optimizer(tiny_cfg, model)

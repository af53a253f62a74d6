"""The average of a real training against a loop written by hand, and what is done with it."""

import math
from types import SimpleNamespace

import pytest
import torch
from detectron2.engine import HookBase
from detectron2.utils.env import seed_all_rng
from torch import nn

from eql_d2.checkpoint import EQLCheckpointer
from eql_d2.engine import Trainer, evaluate_lazy, load_lazy, train_lazy
from eql_d2.engine.model_ema import EMAHook, ModelEMA, build_ema
from eql_d2.losses import GradientStatistics
from tests.config_twins import CONFIGS
from tests.conftest import as_retinanet
from tests.engine.interrupted import final_state
from tests.modeling.test_waits import Waits

LAZY = CONFIGS / "quick_schedules/improved_baseline_R_18_FPN_instant_efl.py"


@pytest.fixture
def cfg(registered_cfg):
    """A tiny RetinaNet with batch norm and the gradient statistics of EFL."""
    cfg = as_retinanet(registered_cfg)
    cfg.MODEL.EMA.DECAY, cfg.MODEL.EMA.WARMUP = 0.9, 20
    cfg.MODEL.EQL.LOG_PERIOD, cfg.DATASETS.TEST = 0, ()
    return cfg


class States(HookBase):
    """Copies of the state of the model after each step."""

    def __init__(self):
        self.found = []

    def after_step(self):
        state = self.trainer.model.state_dict()
        self.found.append({name: value.clone() for name, value in state.items()})


def trained(cfg, resume=False, stop=None):
    """The trainer, and the states of its model: at first and after each step."""
    seed_all_rng(cfg.SEED)
    trainer, states = Trainer(cfg), States()
    trainer.register_hooks([states])
    trainer.resume_or_load(resume=resume)
    states.after_step()
    trainer.max_iter = stop or trainer.max_iter
    trainer.train()
    return trainer, states.found


def saved(cfg):
    return torch.load(f"{cfg.OUTPUT_DIR}/model_final.pth", weights_only=True)


def by_hand(states, decay, warmup):
    """The formula, one number after another, in float64; of whole numbers the last."""
    average = {name: value.double() for name, value in states[0].items()}
    for k, state in enumerate(states[1:], start=1):
        decay_k = decay * (1 - math.exp(-k / warmup))
        for name, value in state.items():
            if value.is_floating_point():
                average[name] = decay_k * average[name] + (1 - decay_k) * value.double()
            else:
                average[name] = value
    return average


@pytest.mark.slow
def test_fifty_steps_are_the_formula(cfg, monkeypatch):
    """In float64, so that nothing hides in rounding."""
    build_model = Trainer.build_model
    double = staticmethod(lambda cfg: build_model(cfg).double())
    monkeypatch.setattr(Trainer, "build_model", double)
    cfg.SOLVER.MAX_ITER, cfg.SOLVER.BASE_LR = 50, 1e-3  # with 0.01 it may diverge
    _, states = trained(cfg)
    average = saved(cfg)["model_ema"]
    assert average.pop("n_averaged") == 50
    expected = by_hand(states, 0.9, 20)
    assert average.keys() == {f"module.{name}" for name in expected}
    for name, value in expected.items():
        found = average[f"module.{name}"]
        assert found.dtype == states[-1][name].dtype, name
        torch.testing.assert_close(found, value, rtol=1e-10, atol=1e-13, msg=name)
    # What counts in it: a bias, a running statistic, a gradient statistic; and a whole number
    for name in ("head.cls_score.bias", "running_mean", "statistics.neg_grad"):
        key = next(key for key in expected if key.endswith(name))
        assert not torch.allclose(expected[key], states[-1][key].double(), rtol=1e-4), key
    key = next(key for key in expected if key.endswith("num_batches_tracked"))
    assert average[f"module.{key}"] == 50


def test_each_entry_is_averaged_in_its_own_dtype():
    """Sums of gradients go beyond what float32 can tell apart; bfloat16 shows where it would."""

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.statistics = GradientStatistics(2)
            self.weight = nn.Parameter(torch.ones(2))
            self.low = nn.Parameter(torch.ones(2, dtype=torch.bfloat16))
            self.register_buffer("count", torch.tensor(2**40))

    model = Model()
    model.statistics.pos_grad.fill_(2.0**40)
    average = ModelEMA(model, decay=0.5, warmup=0)
    model.statistics.pos_grad += 1
    model.count += 3
    model.weight.data.fill_(3)
    model.low.data.fill_(3)
    average.update_parameters(model)
    assert (average.module.statistics.pos_grad == 2.0**40 + 0.5).all()
    assert average.module.count == 2**40 + 3
    assert (average.module.weight == 2).all() and (average.module.low == 2).all()
    assert average.module.low.dtype == torch.bfloat16
    assert not any(p.requires_grad for p in average.parameters()) and not average.module.training


def test_an_update_makes_the_host_wait_for_nothing_and_is_a_few_kernels():
    model = nn.Sequential(*[nn.BatchNorm2d(4) for _ in range(20)])
    average = ModelEMA(model, 0.9, 20)
    number = average.n_averaged
    assert number.device.type == "cpu"
    with Waits() as found:
        average.update_parameters(model)
    assert found.names == ["_local_scalar_dense"]  # the number of updates, on the CPU
    average.to("meta").n_averaged = number
    average.update_parameters(model.to("meta"))  # has no values that anybody could wait for


@pytest.mark.slow
def test_a_training_with_weights_averages_from_them(cfg, tmp_path):
    cfg.SOLVER.MAX_ITER = 2
    first, _ = trained(cfg)
    cfg.MODEL.WEIGHTS, cfg.OUTPUT_DIR = (
        str(tmp_path / "output/model_final.pth"),
        str(tmp_path / "b"),
    )
    second, states = trained(cfg)
    weights = torch.load(cfg.MODEL.WEIGHTS, weights_only=True)["model_ema"]
    assert all(torch.equal(value, weights[f"module.{name}"]) for name, value in states[0].items())
    average, expected = saved(cfg)["model_ema"], by_hand(states, 0.9, 20)
    assert average["n_averaged"] == 2
    for name, value in expected.items():
        found = average[f"module.{name}"]
        torch.testing.assert_close(found, value.to(found.dtype), rtol=1e-5, atol=1e-7, msg=name)


@pytest.mark.slow
def test_four_steps_and_four_resumed_are_eight(cfg, tmp_path, warnings):
    """Of all that the final checkpoint holds, each bit."""
    whole, halves = cfg.clone(), cfg.clone()
    whole.OUTPUT_DIR, halves.OUTPUT_DIR = str(tmp_path / "whole"), str(tmp_path / "halves")
    whole.SOLVER.MAX_ITER = halves.SOLVER.MAX_ITER = 8
    trained(whole)
    trained(halves, stop=4)
    assert saved(halves)["model_ema"]["n_averaged"] == 4
    trained(halves, resume=True)
    expected, found = final_state(tmp_path / "whole"), final_state(tmp_path / "halves")
    assert found.keys() == expected.keys() and any("/model_ema/" in name for name in found)
    assert [name for name, value in expected.items() if found[name] != value] == []
    assert not [line for line in warnings if "averaged model" in line]


@pytest.mark.slow
def test_a_training_without_an_average_may_be_resumed_with_one(cfg, warnings):
    cfg.SOLVER.MAX_ITER, cfg.MODEL.EMA.DECAY = 6, 0.0
    trained(cfg, stop=3)
    assert "model_ema" not in saved(cfg)
    cfg.MODEL.EMA.DECAY = 0.9
    _, states = trained(cfg, resume=True)
    (line,) = [line for line in warnings if "averaged model" in line]
    assert "the average starts from its weights" in line
    average, expected = saved(cfg)["model_ema"], by_hand(states, 0.9, 20)
    assert len(states) == 4 and average["n_averaged"] == 3
    for name, value in expected.items():
        found = average[f"module.{name}"]
        torch.testing.assert_close(found, value.to(found.dtype), rtol=1e-5, atol=1e-7, msg=name)


@pytest.mark.slow
def test_the_average_is_evaluated_and_eval_only_loads_it(cfg, monkeypatch):
    """And the model itself is another, trained on."""
    cfg.DATASETS.TEST, cfg.SOLVER.MAX_ITER, cfg.TEST.EVAL_PERIOD = ("tiny_val",), 4, 2
    cfg.MODEL.RETINANET.SCORE_THRESH_TEST = 0.0
    evaluated, test = [], Trainer.test

    def noting(cfg, model, evaluators=None):
        evaluated.append({name: value.clone() for name, value in model.state_dict().items()})
        return test(cfg, model, evaluators)

    monkeypatch.setattr(Trainer, "test", staticmethod(noting))
    trainer, states = trained(cfg)
    for found, steps in zip(evaluated, (2, 4), strict=True):
        for name, value in by_hand(states[: steps + 1], 0.9, 20).items():
            value = value.to(found[name].dtype)
            torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-7, msg=name)
    assert trainer.model.training and not torch.equal(
        trainer.model.head.cls_score.weight, evaluated[-1]["head.cls_score.weight"]
    )
    cfg.MODEL.EMA.DECAY = 0.0  # needed to train only
    model = Trainer.build_model(cfg)
    EQLCheckpointer(model).load(f"{cfg.OUTPUT_DIR}/model_final.pth")
    results = Trainer.test(cfg, model)["bbox"]
    assert results == pytest.approx(trainer._last_eval_results["bbox"], rel=0, abs=0, nan_ok=True)
    assert results["AP"] > 0
    for name, value in model.state_dict().items():
        assert torch.equal(value, evaluated[1][name]), name


@pytest.fixture
def lazy(data, registered_cfg, tmp_path):
    cfg = load_lazy(
        str(LAZY),
        [
            *("train.max_iter=4", "train.eql.log_period=0", "train.seed=7", "model.num_classes=5"),
            *("dataloader.train.dataset.names=tiny_train", "dataloader.train.num_workers=0"),
            *("dataloader.test.dataset.names=tiny_val", "dataloader.test.num_workers=0"),
            "dataloader.train.mapper.augmentations.0.short_edge_length=[64]",
            "dataloader.test.mapper.augmentations.0.short_edge_length=64",
            *("train.model_ema.decay=0.9", "train.model_ema.warmup=20", "train.average_norm=True"),
            *(f"train.output_dir={tmp_path / 'lazy'}", "train.init_checkpoint=''"),
        ],
    )
    (tmp_path / "lazy").mkdir()
    return cfg


@pytest.mark.slow
def test_a_lazy_config_has_all_of_it(lazy, tmp_path, monkeypatch):
    evaluated = []
    monkeypatch.setattr(
        "eql_d2.engine.lazy.inference_on_dataset",
        lambda model, *_: evaluated.append(
            {name: value.clone() for name, value in model.state_dict().items()}
        ),
    )
    monkeypatch.setattr("eql_d2.engine.lazy.print_csv_format", lambda results: None)
    train_lazy(lazy, resume=False)
    content = torch.load(tmp_path / "lazy/model_final.pth", weights_only=True)
    assert content["model_ema"]["n_averaged"] == 4
    lazy.train.model_ema.decay = 0.0
    lazy.train.init_checkpoint = str(tmp_path / "lazy/model_final.pth")
    evaluate_lazy(lazy)
    in_training, alone = evaluated
    for name, value in in_training.items():
        assert torch.equal(value, content["model_ema"][f"module.{name}"]), name
        assert torch.equal(value, alone[name]), name
    assert any(
        not torch.equal(value, in_training[name]) for name, value in content["model"].items()
    )


def test_without_a_decay_there_is_no_average(cfg):
    assert build_ema(nn.Linear(1, 1)) is None
    cfg.MODEL.EMA.DECAY = 0.0
    trained(cfg)
    assert "model_ema" not in saved(cfg)


def test_the_copy_is_of_the_model_in_a_distributed_one():
    model = nn.Linear(2, 2)
    whole = nn.Module()
    whole.module = model  # as DistributedDataParallel holds it
    average = ModelEMA(whole, decay=0.5, warmup=0)
    assert average.state_dict().keys() == {"n_averaged", "module.weight", "module.bias"}
    hook = EMAHook(average)
    hook.trainer = SimpleNamespace(model=whole, start_iter=0)
    model.weight.data.fill_(1)
    hook.before_train()
    model.weight.data.fill_(3)
    hook.after_step()
    assert (average.module.weight == 2).all()

"""Trainings that are resumed with other settings than they began with."""

import pytest
import torch
from detectron2.config import LazyCall
from detectron2.engine import hooks
from fvcore.common.param_scheduler import LinearParamScheduler
from omegaconf import OmegaConf
from torch import nn

from eql_d2 import EFL, EQLv2, InputError, SoftmaxEQL
from eql_d2.checkpoint import EQLCheckpointer
from eql_d2.engine import Trainer, lazy, load_lazy, train_lazy
from eql_d2.engine.build import EQLSettings, resume_or_load
from eql_d2.engine.finite_trainer import FiniteTrainer
from eql_d2.engine.resumed_settings import SettingsHook, settings_of
from eql_d2.solver import ClippedSGD
from tests.config_twins import CONFIGS
from tests.engine.test_finite_trainer import C, batches

LAZY = CONFIGS / "quick_schedules/improved_baseline_R_18_FPN_instant_efl.py"


class Model(nn.Module):
    def __init__(self, loss):
        super().__init__()
        torch.manual_seed(0)
        self.loss_cls = loss
        self.layer = nn.Linear(4, loss.num_logits)

    def forward(self, batch):
        logits = self.layer(torch.stack([sample["x"] for sample in batch]))
        labels = torch.tensor([sample["label"] for sample in batch])
        return {"loss_cls": self.loss_cls(logits, labels)}


class Losses(hooks.HookBase):
    """What the optimizer had in each step."""

    def __init__(self):
        self.rates = []

    def before_step(self):
        self.rates.append(self.trainer.optimizer.param_groups[0]["lr"])


def go_on(folder, until, loss=EQLv2, optimizer=torch.optim.SGD, is_recorded=True, **options):
    """Train up to an iteration, from the newest checkpoint of the folder on; its trainer."""
    model = Model(loss(C))
    options = {"lr": 0.1, "weight_decay": 0.01, **options}
    if issubclass(optimizer, torch.optim.SGD):
        options = {"momentum": 0.9, **options}
    trainer = FiniteTrainer(model, batches(), optimizer(model.parameters(), **options))
    cfg = OmegaConf.create({"optimizer": {key: str(value) for key, value in options.items()}})
    cfg.train = {"max_iter": until, "output_dir": str(folder)}
    kept, rates = SettingsHook(cfg, until), Losses()
    checkpointer = EQLCheckpointer(model, str(folder), trainer=trainer)
    schedule = hooks.LRScheduler(scheduler=LinearParamScheduler(1.0, 0.5))
    saving = hooks.PeriodicCheckpointer(checkpointer, 10**6, until)
    trainer.register_hooks([*([kept] if is_recorded else []), schedule, saving, rates])
    kept.trainer = trainer
    resumed = resume_or_load(checkpointer, "", True, EQLSettings(), kept)
    trainer.train(trainer.iter + 1 if resumed else 0, until)
    trainer.rates = rates.rates
    return trainer


@pytest.fixture
def folder(tmp_path):
    """With a training of 4 steps."""
    go_on(tmp_path, 4)
    return tmp_path


def test_what_did_not_change_is_not_spoken_of(folder, warnings):
    """Nor is a training that has ended refused."""
    assert (go_on(folder, 4).rates, warnings) == ([], [])


@pytest.mark.parametrize("is_recorded", [True, False], ids=["own", "detectron2's"])
def test_learning_rate_and_weight_decay_that_are_given_anew_take_effect(
    tmp_path, warnings, is_recorded
):
    """Also over a checkpoint that tells no settings."""
    go_on(tmp_path, 4, is_recorded=is_recorded)
    trainer = go_on(tmp_path, 8, lr=0.02, weight_decay=0.5, momentum=0.8)
    (group,) = trainer.optimizer.param_groups
    assert (group["initial_lr"], group["weight_decay"], group["momentum"]) == (0.02, 0.5, 0.8)
    assert trainer.rates == pytest.approx([0.02 * (1 - 0.5 * i / 8) for i in range(4, 8)])
    assert trainer.optimizer.state_dict()["state"][0]["momentum_buffer"].any()
    (line,) = warnings
    assert line.startswith("The training goes on with other settings than those of ")
    assert "\n" not in line
    if is_recorded:
        assert "optimizer.lr (was 0.1, is 0.02), optimizer.weight_decay (was 0.01, is 0.5)" in line
        assert "train.max_iter (was 4, is 8)" in line and "output_dir" not in line
    else:
        assert "learning rate (was 0.1, is 0.02)" in line
        assert "weight decay (was 0.01, is 0.5)" in line


def test_clipped_gradients_which_the_stop_advises_are_no_other_optimizer(folder):
    trainer = go_on(folder, 6, optimizer=ClippedSGD, max_norm=1.0)
    assert trainer.iter == 6


@pytest.mark.parametrize("loss", [SoftmaxEQL, EFL])
def test_another_loss_is_refused(folder, loss):
    line = f"is of a training with the loss EQLv2 at loss_cls, and now it is {loss.__name__}: "
    with pytest.raises(InputError, match=line + ".* MODEL.WEIGHTS .* in another OUTPUT_DIR$"):
        go_on(folder, 6, loss=loss)


@pytest.mark.parametrize("is_recorded", [True, False], ids=["own", "detectron2's"])
def test_another_optimizer_is_refused(tmp_path, is_recorded):
    go_on(tmp_path, 4, is_recorded=is_recorded)
    line = "the optimizer SGD, and now it is" if is_recorded else "another optimizer than"
    with pytest.raises(InputError, match=f"_final.pth is of a training with {line} Adam:") as e:
        go_on(tmp_path, 6, optimizer=torch.optim.Adam)
    assert "\n" not in str(e.value)


def test_a_checkpoint_beyond_the_last_iteration_is_refused(folder):
    with pytest.raises(InputError, match="after 4 iterations, and MAX_ITER is 3: give more") as e:
        go_on(folder, 3)
    assert "\n" not in str(e.value)


def test_settings_are_texts_that_are_the_same_in_each_process():
    cfg = OmegaConf.create({"a": {"b": [1, 2.5]}, "train": {"output_dir": "x", "max_iter": 5}})
    cfg.optimizer = LazyCall(torch.optim.SGD)(lr=0.1, params=None)
    cfg = OmegaConf.create(OmegaConf.to_container(cfg), flags={"allow_objects": True})
    cfg.schedule, cfg.function = LinearParamScheduler(1.0, 0.5), go_on
    found = settings_of(cfg)
    assert found["a.b"] == "[1, 2.5]" and found["train.max_iter"] == "5"
    assert "train.output_dir" not in found and found["optimizer.lr"] == "0.1"
    assert found["schedule"] == "fvcore.common.param_scheduler.LinearParamScheduler"
    assert found["function"] == f"{__name__}.go_on"
    assert " at 0x" not in str(found)


def test_a_yaml_config_goes_on_with_its_new_settings(registered_cfg, warnings):
    cfg = registered_cfg
    cfg.DATASETS.TEST, cfg.SOLVER.MAX_ITER, cfg.MODEL.EQL.LOG_PERIOD = (), 1, 0
    Trainer(cfg).train()
    cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS, cfg.SOLVER.BASE_LR = 2, (1,), 0.004
    cfg.SOLVER.WEIGHT_DECAY, cfg.SOLVER.CLIP_GRADIENTS.ENABLED = 0.5, True
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=True)
    (group,) = [g for g in trainer.optimizer.param_groups if g["weight_decay"]]
    assert (group["lr"], group["weight_decay"]) == (0.0004, 0.5)
    assert trainer.scheduler.base_lrs == [0.004] * len(trainer.optimizer.param_groups)
    (line,) = [line for line in warnings if "other settings" in line]
    for change in (
        "SOLVER.BASE_LR (was 0.01, is 0.004)",
        "SOLVER.STEPS (was [], is [1])",
        "SOLVER.WEIGHT_DECAY (was 0.0001, is 0.5)",
        "SOLVER.CLIP_GRADIENTS.ENABLED (was False, is True)",
    ):
        assert change in line
    cfg.SOLVER.OPTIMIZER, cfg.SOLVER.CLIP_GRADIENTS.ENABLED = "LAMB", False
    with pytest.raises(InputError, match="the optimizer SGD, and now it is Lamb: "):
        Trainer(cfg).resume_or_load(resume=True)
    cfg.SOLVER.OPTIMIZER, cfg.MODEL.EQL.LOSS = "SGD", "SoftmaxEQL"
    with pytest.raises(InputError, match="the loss EQLv2 at roi_heads.* now it is SoftmaxEQL: "):
        Trainer(cfg).resume_or_load(resume=True)


def test_a_lazy_config_goes_on_with_its_new_settings(
    data, registered_cfg, warnings, tmp_path, monkeypatch
):
    monkeypatch.setattr(lazy, "test_lazy", lambda cfg, model: {})
    cfg = load_lazy(
        str(LAZY),
        [
            *("train.max_iter=1", "train.eql.log_period=0", "train.seed=7", "model.num_classes=5"),
            *("dataloader.train.dataset.names=tiny_train", "dataloader.train.num_workers=0"),
            *("dataloader.test.dataset.names=tiny_val", "train.eval_period=0"),
            "dataloader.train.mapper.augmentations.0.short_edge_length=[64]",
            *(f"train.output_dir={tmp_path / 'lazy'}", "train.init_checkpoint=''"),
        ],
    )
    (tmp_path / "lazy").mkdir()
    train_lazy(cfg.copy(), resume=False)
    cfg.train.max_iter, cfg.optimizer.lr, cfg.optimizer.weight_decay = 2, 0.004, 0.5
    train_lazy(cfg.copy(), resume=True)
    content = torch.load(tmp_path / "lazy/model_final.pth", weights_only=True)
    groups = content["trainer"]["optimizer"]["param_groups"]
    assert {group["initial_lr"] for group in groups} == {0.004}
    assert 0.5 in {group["weight_decay"] for group in groups}
    (line,) = [line for line in warnings if "other settings" in line]
    assert "optimizer.lr (was 0.0025, is 0.004)" in line and "train.max_iter (was 1, is 2)" in line
    cfg.optimizer._target_ = torch.optim.AdamW
    del cfg.optimizer.momentum, cfg.optimizer.max_norm
    with pytest.raises(InputError, match="the optimizer SGD, and now it is Adam"):
        train_lazy(cfg.copy(), resume=True)

"""A training by another trainer than ours gets what it can, and is told the rest."""

import re

import pytest
from detectron2.config import get_cfg
from detectron2.engine import DefaultTrainer, HookBase, hooks
from detectron2.modeling import build_model
from detectron2.projects.deeplab import add_deeplab_config
from omegaconf import OmegaConf

from eql_d2.config import default_config, leaves, settings_of_the_trainer
from eql_d2.engine import Trainer
from eql_d2.engine.hooks import ReportHook
from eql_d2.engine.resolved import resolve, resolve_lazy


def test_settings_that_only_our_trainer_reads_are_named_once(registered_cfg, warnings):
    """A plain DefaultTrainer left them out without a word."""
    cfg = registered_cfg
    cfg.SOLVER.EPOCHS, cfg.SOLVER.OPTIMIZER, cfg.MODEL.EMA.DECAY = 3, "LAMB", 0.9
    cfg.DATASETS.TEST, cfg.SOLVER.MAX_ITER = (), 2
    trainer = DefaultTrainer(cfg)
    assert warnings == []
    trainer.train()
    assert [line for line in warnings if "eql_d2.engine.Trainer" in line] == [
        "eql_d2.engine.Trainer reads SOLVER.OPTIMIZER LAMB, SOLVER.EPOCHS 3, MODEL.EMA.DECAY 0.9, "
        "but another trainer trains here: take that one, or see to them yourself"
    ]


def test_our_trainer_and_a_model_that_predicts_say_nothing(registered_cfg, warnings):
    registered_cfg.SOLVER.CLIP_GRADIENTS.update(CLIP_TYPE="full_model", ENABLED=True)
    registered_cfg.MODEL.EMA.DECAY = 0.91
    registered_cfg.DATASETS.TEST, registered_cfg.SOLVER.MAX_ITER = (), 1
    trainer = Trainer(registered_cfg)
    trainer.train()
    loss = build_model(registered_cfg).eval().roi_heads.box_predictor.loss_cls
    assert "CLIP_TYPE full_model" in loss.unread_settings
    assert not [line for line in warnings if "eql_d2.engine.Trainer" in line]


def test_every_key_of_ours_is_of_the_trainer_or_of_what_it_switches():
    """Outside of MODEL none is read by Detectron2's parts."""
    theirs = get_cfg()
    add_deeplab_config(theirs)
    ours = {key for key, _ in leaves(default_config())} - {key for key, _ in leaves(theirs)}
    switched = (
        *("SOLVER.EPOCH_", "SOLVER.WARMUP_EP", "SOLVER.CONSTANT"),
        *("INPUT.MOSAIC.", "INPUT.COPY_PASTE."),
    )
    of_data = ("DATASETS.", "INPUT.CLASSIFICATION.")
    for key in ours:
        cfg = default_config()
        node = cfg
        *path, name = key.split(".")
        for part in path:
            node = node[part]
        node[name] = "changed"
        is_named = f"{key} changed" in settings_of_the_trainer(cfg)
        if not key.startswith(("MODEL.", *of_data, *switched)):
            assert is_named, key
    assert settings_of_the_trainer(default_config()) == ""


def test_a_hook_inserted_before_the_last_lands_before_the_writer(registered_cfg):
    """Detectron2's idiom: what it logs is written. It landed behind the writer."""

    class Own(Trainer):
        def build_hooks(self):
            found = super().build_hooks()
            found.insert(-1, HookBase())
            return found

    kinds = [type(hook) for hook in Own(registered_cfg)._hooks]
    assert kinds[-3:] == [HookBase, hooks.PeriodicWriter, ReportHook]


@pytest.mark.parametrize("warmup, is_said", [(100, True), (21, True), (20, False)])
def test_a_warm_up_of_most_of_the_training_is_warned_of(warnings, warmup, is_said):
    """A cosine over 40 steps with 100 of warm-up trained at a learning rate of 1e-7."""
    cfg = default_config()
    cfg.SOLVER.MAX_ITER, cfg.SOLVER.WARMUP_ITERS = 40, warmup
    resolve(cfg, None)
    lazy = {"train": {"max_iter": 40}, "lr_multiplier": {"warmup_length": warmup / 40}}
    resolve_lazy(OmegaConf.create(lazy))
    assert len(warnings) == 2 * is_said
    if is_said:
        text = f"SOLVER.WARMUP_ITERS is {warmup} of 40 iterations: .*; give less, for example 2$"
        assert re.match(text, warnings[0])
        assert re.match("lr_multiplier.warmup_length is .* example 0.05$", warnings[1])

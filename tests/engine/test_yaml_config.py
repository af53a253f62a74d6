"""A yaml file or overrides that cannot be used end with lines that name key, value and fix."""

import builtins
import re
from pathlib import Path

import pytest
from detectron2 import model_zoo
from detectron2.config import get_cfg

from eql_d2 import InputError
from eql_d2.engine import load_lazy, load_yaml
from eql_d2.engine.config.lazy_files import warn_of_unread
from tests.config_twins import CONFIGS

YAML = CONFIGS / "quick_schedules/mask_rcnn_R_18_FPN_instant_eqlv2.yaml"
LAZY = YAML.with_suffix(".py")


def lines(load, path, *words):
    with pytest.raises(InputError) as error:
        load(str(path), words)
    assert all("\n" not in line for line in error.value.problems)
    return error.value.problems


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "holds None: write keys and values"),
        ("SOLVER: [1", "line 1, column 11: .* this is no YAML"),
        (
            "A: 1\nSEED: !!python/object/apply:os.getpid []",
            "line 2: .*python.*: write plain values",
        ),
        ("_BASE_: nowhere.yaml", "_BASE_ '.*nowhere.yaml' does not exist"),
        ("_BASE_: case.yaml", "is its own _BASE_, by way of 1 file"),
        ("_BASE_: 3", "_BASE_ is 3: give the path"),
        ("SOLVER: {MAX_ITR: 3}", "SOLVER.MAX_ITR is unknown: did you mean SOLVER.MAX_ITER?"),
        ("MAX_ITER: 3", "MAX_ITER is unknown: did you mean SOLVER.MAX_ITER?"),
        ("SOLVER: {BASE_LR: 1}", "SOLVER.BASE_LR is 1: give a number with a decimal point"),
        ("SOLVER: 3", "SOLVER is 3: it is a group of keys, give one, for example SOLVER"),
        ("SEED: {A: 3}", "SEED is {'A': 3}: give a whole number, for example -1"),
        ("5: 3", "5 is unknown"),
        ("VERSION: 3", "VERSION is 3: give 2"),
        ("SOLVER: {CLIP_GRADIENTS: {FULL_MODEL_NORM: 3}}", "was renamed to .*CLIP_VALUE"),
        ("SEED: 1\0", "unacceptable character"),
    ],
)
def test_a_bad_file_gets_one_line(tmp_path, text, expected):
    (tmp_path / "case.yaml").write_text(text)
    (line,) = lines(load_yaml, tmp_path / "case.yaml")
    assert "case.yaml'" in line and re.search(expected, line), line


def test_a_base_is_named_where_it_is_wrong(tmp_path):
    (tmp_path / "base.yaml").write_text("SOLVR: {MAX_ITER: 3}")
    (tmp_path / "case.yaml").write_text("_BASE_: base.yaml\nSEED: x\nMODEL: {MASK_ON: 1}")
    base, seed, mask = lines(load_yaml, tmp_path / "case.yaml")
    assert "base.yaml': SOLVR.MAX_ITER" in base or "base.yaml': SOLVR is unknown" in base
    assert "case.yaml': SEED is 'x'" in seed and "MASK_ON is 1: give True or False" in mask


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("SOLVER.MAX_ITER",), "has no value: give pairs of KEY VALUE"),
        (("SOLVER.MAX_ITER=3",), "no equals sign: SOLVER.MAX_ITER 3"),
        (("MAX_ITER", "3"), "did you mean SOLVER.MAX_ITER?"),
        (("SOLVER.MAX_ITER.X", "3"), "SOLVER.MAX_ITER.X is unknown"),
        (("SOLVER.MAX_ITER", "x"), "SOLVER.MAX_ITER is 'x': give a whole number"),
        (("SOLVER.STEPS", "3"), "SOLVER.STEPS is '3': give values in brackets"),
        (("SOLVER.STEPS", "{[]: 1}"), "give values in brackets"),
        (("SOLVER.STEPS", "(" * 999), "give values in brackets"),
        (("OUTPUT_DIR", "2024"), "give a text .a number needs inner quotes"),
        (("SEED", "1", "--dataset", "a"), "--dataset stands after the config overrides"),
    ],
)
def test_bad_overrides_get_one_line(words, expected):
    (line,) = lines(load_yaml, YAML, *words)
    assert re.search(expected, line), line


def test_the_anchor_sizes_of_detectron2s_own_retinanet_are_written_out(tmp_path):
    """A list that the file has evaluated: its user cannot edit it. Other code never runs."""
    path = model_zoo.get_config_file("COCO-Detection/retinanet_R_50_FPN_1x.yaml")
    cfg, by_detectron2 = load_yaml(path, []), get_cfg()
    by_detectron2.merge_from_file(path)
    assert cfg.MODEL.ANCHOR_GENERATOR.SIZES == by_detectron2.MODEL.ANCHOR_GENERATOR.SIZES
    text = Path(path).parents[1].joinpath("Base-RetinaNet.yaml").read_text()
    (tmp_path / "case.yaml").write_text(text.replace("512 ]]", "len('a') ]]"))
    (line,) = lines(load_yaml, tmp_path / "case.yaml")
    assert re.search("line 8: .*python.*eval': write plain values, no tags", line)


def test_right_overrides_are_taken():
    cfg = load_yaml(str(YAML), ["SOLVER.MAX_ITER", "7", "OUTPUT_DIR", "'2024'"])
    assert (cfg.SOLVER.MAX_ITER, cfg.OUTPUT_DIR) == (7, "2024")
    (first, second) = lines(load_yaml, YAML, "SOLVER.MAX_ITER", "x", "SOLVR.STEPS", "y")
    assert "SOLVER.MAX_ITER" in first and "SOLVR.STEPS" in second


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "has no model and no dataloader and no train"),
        ("SEED = 1\nmodel = dict(", "line 2: .* this is no Python"),
        ("import no_such_module", "line 1 of .*case.py' .ModuleNotFoundError: No module named"),
        ("from .nowhere import model", "nowhere.py does not exist"),
        ("model = dict()\n1 / 0", "line 2 of .*ZeroDivisionError: division by zero"),
        ("raise SystemExit", "SystemExit"),
    ],
)
def test_a_bad_lazy_file_gets_one_line(tmp_path, text, expected):
    (tmp_path / "case.py").write_text(text)
    before = builtins.__import__
    (line,) = lines(load_lazy, tmp_path / "case.py")
    assert "case.py'" in line and re.search(expected, line), line
    assert builtins.__import__ is before  # which Detectron2 replaces


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("train.max_itr=3", "train.max_itr is unknown: did you mean max_iter?"),
        ("train.modl_ema=3", "train.modl_ema is unknown: did you mean model_ema?"),
        ("train.model_ema.enabled=true", "train.model_ema.enabled is unknown"),
        ("trian.max_iter=3", "trian is unknown: did you mean train?"),
        ("train.amp.enable=True", "train.amp.enable is unknown: did you mean enabled?"),
        ("train.eql.log_perod=3", "train.eql.log_perod is unknown: did you mean log_period?"),
        ("dataloader.trian.num_workers=3", "dataloader.trian is unknown: did you mean train?"),
        ("dataloader.train.num_worker=3", "num_worker is unknown: did you mean num_workers?"),
        ("optimizer.momentun=0.9", "optimizer.momentun is unknown: did you mean momentum?"),
        ("optimizer.lr.x=3", "optimizer.lr is 0.01, no group of keys"),
        ("model.pixel_maen=[1]", "model.pixel_maen is unknown: did you mean pixel_mean?"),
        ("dataloader.test.mapper.augmentations.9.max_size=3", "has entries 0 to 0"),
        ("train.max_iter", "is no key=value"),
        ("train.max_iter=[3", "cannot be used .OverrideParseException"),
        ("model=3", "has no model"),
        ("--dataset", "stands after the config overrides"),
    ],
)
def test_bad_overrides_of_a_lazy_config_get_one_line(word, expected):
    (line,) = lines(load_lazy, LAZY, word)
    assert re.search(expected, line), line


def test_arguments_that_the_file_leaves_out_can_be_given():
    words = ["optimizer.dampening=0.1", "dataloader.train.sampler=null", "train.seed=3"]
    cfg = load_lazy(str(LAZY), [*words, "train.eql.monitor=True"])
    assert (cfg.optimizer.dampening, cfg.train.seed, cfg.train.eql.monitor) == (0.1, 3, True)
    assert "sampler" in cfg.dataloader.train


def test_keys_of_train_that_others_have_are_taken_and_said(warnings):
    """They were refused: a LazyConfig of another project could not be used at all."""
    cfg = load_lazy(str(LAZY), ["+train.wandb={enabled: true}", "train.clip_grad=1.0"])
    assert cfg.train.wandb.enabled and cfg.train.clip_grad == 1
    warn_of_unread(cfg)
    assert warnings == ["Nothing reads train.wandb, train.clip_grad: the training does without"]

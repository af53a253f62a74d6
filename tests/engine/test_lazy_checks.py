"""Wrong values of a LazyConfig end a run at its start, with a line for each."""

import re

import pytest
from detectron2.utils import comm

from eql_d2 import InputError
from eql_d2.engine import check_lazy, load_lazy
from tests.config_twins import CONFIGS

LAZY = CONFIGS / "quick_schedules/mask_rcnn_R_18_FPN_instant_eqlv2.py"
OWN_DATA = {"JSON": (("a_train", "a.json", "a"), ("a_val", "b.json", "b"))}
NAMES = ["dataloader.train.dataset.names=a_train", "dataloader.test.dataset.names=a_val"]


def problems(*words, training=True):
    cfg = load_lazy(str(LAZY), [*NAMES, *words])
    try:
        check_lazy(cfg, OWN_DATA, training)
    except InputError as error:
        return error.problems
    return []


def test_right_values_and_special_ones_are_right():
    assert problems() == problems(training=False) == []
    special = ["train.eval_period=0", "train.init_checkpoint=''", "train.eql.log_period=0"]
    assert problems(*special, "train.checkpointer.max_to_keep=null", "train.seed=-1") == []
    assert problems("train.init_checkpoint=null") == []  # as in Detectron2's zoo
    averages = ["train.model_ema.decay=0.9998", "train.model_ema.warmup=0"]
    assert problems(*averages, "train.average_norm=true") == []


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("train.init_checkpoint=3", "is 3: give a text in quotes, or None"),
        ("train.max_iter=0", "train.max_iter is 0: give a whole number, 1 or more"),
        ("train.max_iter=${nothing}", "train cannot be resolved .InterpolationKeyError"),
        ("train.max_iter=???", "train cannot be resolved .MissingMandatoryValue"),
        ("train.checkpointer.period=0", "train.checkpointer.period is 0"),
        ("train.checkpointer.max_to_keep=0", "is 0: give a whole number, 1 or more, or None"),
        ("train.log_period=0", "train.log_period is 0"),
        ("train.device=gpu", "train.device is 'gpu', which cannot be used"),
        ("train.output_dir=/dev/null", "'/dev/null' is a file"),
        ("train.eql.frequency_thresholds=[10]", r"frequency thresholds are \(10,\)"),
        ("train.eql.frequency_thresholds=10", "train.eql cannot be used"),
        ("train.model_ema.decay=1", "train.model_ema.decay is 1: give a number"),
        ("train.model_ema.warmup=-1", "train.model_ema.warmup is -1: give a whole number"),
        ("train.average_norm=3", "train.average_norm is 3: give one of True, False"),
        (
            "optimizer.params={_target_: eql_d2.solver.get_optimizer_params, "
            "weight_decay_overrides: [[a, -1]]}",
            "in WEIGHT_DECAY_OVERRIDES .weight_decay_overrides. is no pair",
        ),
        ("optimizer.lr=nan", "optimizer.lr is nan: give a number, above 0"),
        ("optimizer.momentum=2", "optimizer.momentum is 2"),
        ("lr_multiplier.scheduler=null", "lr_multiplier cannot be used"),
        ("dataloader.train.total_batch_size=0", "total_batch_size is 0"),
        ("dataloader.train.num_workers=-1", "num_workers is -1"),
        ("dataloader.train.dataset.names=[]", "is empty: name a data set"),
        ("dataloader.train.dataset.names=a_trian", "did you mean a_train?"),
        ("dataloader.test.dataset.names=lvis_v1_val", "DETECTRON2_DATASETS"),
        ("dataloader.test.dataset.names=3", "give the name of a data set, or a list of names"),
    ],
)
def test_a_wrong_value_gets_one_line(word, expected):
    (line,) = problems(word)
    assert re.search(expected, line), line


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], None),
        (["dataloader.train.mosaic.scale=[0,2]"], r"^scale of RandomAffine .* is \[0, 2\]: give"),
        (["dataloader.train.mosaic.size=1"], "^size of MosaicMixup .* is 1: give a whole number"),
    ],
)
def test_a_mosaic_is_checked(tmp_path, words, expected):
    file = tmp_path / "config.py"
    file.write_text(
        f"""
from detectron2.config import LazyCall as L, LazyConfig
from eql_d2.data import MosaicMixup, build_mosaic_train_loader

cfg = LazyConfig.load({str(LAZY)!r})
model, optimizer, lr_multiplier, train = cfg.model, cfg.optimizer, cfg.lr_multiplier, cfg.train
dataloader = cfg.dataloader
dataloader.train = L(build_mosaic_train_loader)(
    dataset=dataloader.train.dataset,
    mapper=dataloader.train.mapper,
    mosaic=L(MosaicMixup)(size=64),
    max_iter="${{train.max_iter}}",
    total_batch_size=2,
)
"""
    )
    cfg = load_lazy(str(file), [*NAMES, *words])
    if expected is None:
        check_lazy(cfg, OWN_DATA, training=True)
        return
    with pytest.raises(InputError, match=expected) as error:
        check_lazy(cfg, OWN_DATA, training=True)
    assert len(error.value.problems) == 1
    check_lazy(cfg, OWN_DATA, training=False)
    with pytest.raises(InputError, match="aspect_ratio_grouping is unknown: "):
        load_lazy(str(file), ["dataloader.train.aspect_ratio_grouping=True"])


def test_missing_keys_are_named():
    cfg = load_lazy(str(LAZY), NAMES)
    del cfg.train.log_period, cfg.dataloader.evaluator
    with pytest.raises(InputError) as error:
        check_lazy(cfg, OWN_DATA, training=True)
    assert [line.split()[0] for line in error.value.problems] == [
        *("dataloader.evaluator", "train.log_period")
    ]


def test_an_evaluation_does_without_what_only_training_reads():
    words = ["optimizer.lr=-1", "train.eval_period=-1", "dataloader.train.dataset.names=nothing"]
    assert len(problems(*words)) == 3
    assert problems(*words, training=False) == []


def test_processes_share_the_batch_equally(monkeypatch):
    monkeypatch.setattr(comm, "get_world_size", lambda: 3)
    (line,) = problems("dataloader.train.total_batch_size=16")
    assert "3 processes cannot share equally" in line


def test_micro_batches_are_alike():
    (line,) = problems("dataloader.train.total_batch_size=16", "train.micro_batches=3")
    assert line.startswith("train.micro_batches is 3, but a process has 16 images a step")
    assert problems("dataloader.train.total_batch_size=16", "train.micro_batches=4") == []
    assert "train.micro_batches is 0" in problems("train.micro_batches=0")[0]

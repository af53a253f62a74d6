import logging
import math
from collections import Counter
from itertools import islice

import numpy as np
import pytest
import torch
from detectron2.config import LazyConfig, get_cfg
from detectron2.data import DatasetCatalog, MetadataCatalog

from eql_d2 import InputError, add_eql_config
from eql_d2.engine import Trainer, train_lazy
from eql_d2.engine.epochs import Epoch, epoch_of, with_iterations, with_iterations_lazy
from tests.conftest import as_retinanet

NAME, NUM_IMAGES, NUM_CLASSES, THRESHOLD = "long_tail_train", 200, 20, 0.15
# Class k is in every (2 k + 1)-th image; each fifth image shows nothing.
CLASSES = [
    [] if i % 5 == 4 else [k for k in range(NUM_CLASSES) if i % (2 * k + 1) == 0]
    for i in range(NUM_IMAGES)
]


@pytest.fixture
def cfg(no_datasets_left, monkeypatch):
    """LVIS recipe in epochs, on records that are only counted."""
    monkeypatch.setattr("eql_d2.data.build.check_training_records", lambda *_: None)  # no images
    records = [
        {
            "file_name": f"{i}.jpg",
            "width": 64,
            "height": 64,
            "annotations": [{"category_id": k} for k in classes],
        }
        for i, classes in enumerate(CLASSES)
    ]
    DatasetCatalog.register(NAME, lambda: records)
    MetadataCatalog.get(NAME).thing_classes = [str(k) for k in range(NUM_CLASSES)]
    cfg = get_cfg()
    add_eql_config(cfg)
    cfg.DATASETS.TRAIN = (NAME,)
    cfg.DATALOADER.NUM_WORKERS = 0
    cfg.DATALOADER.SAMPLER_TRAIN = "RepeatFactorTrainingSampler"
    cfg.DATALOADER.REPEAT_THRESHOLD = THRESHOLD
    cfg.DATALOADER.REPEAT_ROUNDING = "ceil"
    cfg.MODEL.META_ARCHITECTURE = "EQLRetinaNet"
    cfg.SOLVER.EPOCHS, cfg.SOLVER.EPOCH_STEPS, cfg.SOLVER.WARMUP_EPOCHS = 24, (16, 22), 1
    return cfg


def expected_repeats():
    """By hand: of each image with an object max ceil(sqrt(t / f))."""
    shown = [classes for classes in CLASSES if classes]
    frequency = [sum(k in c for c in shown) / len(shown) for k in range(NUM_CLASSES)]
    return [max(math.ceil(max(1, math.sqrt(THRESHOLD / frequency[k]))) for k in c) for c in shown]


def test_an_epoch_has_each_image_as_often_as_it_is_repeated(cfg):
    """Counted in what the sampler yields in all iterations of the schedule."""
    repeats = expected_repeats()
    length = sum(repeats)
    assert set(repeats) == {1, 2, 3} and length == 273
    cfg.SOLVER.IMS_PER_BATCH = 13
    found = with_iterations(cfg, Trainer.build_train_loader)
    assert found.SOLVER.MAX_ITER == 24 * 273 / 13
    sampler = Trainer.build_train_loader(cfg).sampler
    counts = Counter(islice(sampler, found.SOLVER.MAX_ITER * 13))
    assert counts == {i: 24 * repeat for i, repeat in enumerate(repeats)}


def test_the_last_iteration_of_an_epoch_counts_whole(cfg, caplog):
    caplog.set_level(logging.INFO, "eql_d2.engine.epochs")
    cfg.SOLVER.IMS_PER_BATCH = 16  # 273 images are 17.06 iterations
    found = with_iterations(cfg, Trainer.build_train_loader)
    solver = found.SOLVER
    assert (solver.MAX_ITER, solver.STEPS, solver.WARMUP_ITERS) == (24 * 18, (16 * 18, 22 * 18), 18)
    (line,) = [record.getMessage() for record in caplog.records if "epochs" in record.getMessage()]
    assert "24 epochs of 273 images (160 without repetitions) and 18 iterations of 16" in line
    assert "432 iterations, steps after (288, 396), warm-up of 18" in line
    # Resolved once: nothing is left to resolve, and the config given is as it was.
    assert with_iterations(found, None) is found and cfg.SOLVER.EPOCHS == 24


def test_warm_up_and_constant_end_are_counted_in_epochs(cfg):
    cfg.SOLVER.IMS_PER_BATCH = 16  # 18 iterations
    cfg.SOLVER.LR_SCHEDULER_NAME = "WarmupCosineConstantLR"
    cfg.SOLVER.WARMUP_EPOCHS, cfg.SOLVER.CONSTANT_EPOCHS = 2, 3
    found = with_iterations(cfg, Trainer.build_train_loader).SOLVER
    assert (found.WARMUP_ITERS, found.CONSTANT_ITERS, found.MAX_ITER) == (36, 54, 24 * 18)
    assert found.CONSTANT_EPOCHS == found.WARMUP_EPOCHS == 0
    cfg.SOLVER.CONSTANT_ITERS = 7
    with pytest.raises(InputError, match="CONSTANT_ITERS is 7 and SOLVER.CONSTANT_EPOCHS is 3"):
        with_iterations(cfg, Trainer.build_train_loader)


def test_epochs_of_other_samplers(cfg):
    cfg.DATALOADER.REPEAT_ROUNDING = "stochastic"
    loader = Trainer.build_train_loader(cfg)
    sampler = loader.sampler
    mean = np.mean([len(sampler._get_epoch_indices(torch.Generator())) for _ in range(5)])
    assert epoch_of(loader, 16).num_repeated == pytest.approx(mean, rel=0.05)
    cfg.DATALOADER.SAMPLER_TRAIN = "TrainingSampler"
    assert epoch_of(Trainer.build_train_loader(cfg), 16) == Epoch(160, 160, 16)
    assert Epoch(160, 161, 16).iterations == 11


def test_a_warm_up_may_be_in_iterations(cfg):
    cfg.SOLVER.WARMUP_EPOCHS, cfg.SOLVER.WARMUP_ITERS = 0, 7
    assert with_iterations(cfg, Trainer.build_train_loader).SOLVER.WARMUP_ITERS == 7


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("MAX_ITER", 90000, "SOLVER.MAX_ITER is 90000 and SOLVER.EPOCHS is 24: .* remove the one"),
        ("STEPS", (60000,), r"SOLVER.STEPS is \(60000,\) and SOLVER.EPOCH_STEPS is \(16, 22\)"),
        ("WARMUP_ITERS", 6250, "SOLVER.WARMUP_ITERS is 6250 and SOLVER.WARMUP_EPOCHS is 1"),
        ("EPOCHS", -1, "SOLVER.EPOCHS is -1: give a positive number"),
    ],
)
def test_a_schedule_in_both_is_refused(cfg, key, value, message):
    cfg.SOLVER[key] = value
    with pytest.raises(InputError, match=message) as error:
        with_iterations(cfg, None)
    assert "\n" not in str(error.value)


def test_loaders_that_are_not_detectron2s_are_refused(cfg):
    with pytest.raises(InputError, match="these are none: set SOLVER.EPOCHS .* to 0") as error:
        with_iterations(cfg, lambda _: [{"image": 0}])
    assert "\n" not in str(error.value)


def test_the_trainer_is_that_of_the_same_iterations(registered_cfg):
    cfg = as_retinanet(registered_cfg)
    cfg.DATASETS.TEST, cfg.SEED = (), -1
    states = []
    off = {"MAX_ITER": 40000, "STEPS": (30000,), "WARMUP_ITERS": 1000}
    for changes in (
        {"MAX_ITER": 12, "STEPS": (8,), "WARMUP_ITERS": 4},
        {**off, "EPOCHS": 3, "EPOCH_STEPS": (2,), "WARMUP_EPOCHS": 1},
    ):
        for key, value in changes.items():
            cfg.SOLVER[key] = value
        torch.manual_seed(0)
        np.random.seed(0)
        trainer = Trainer(cfg)
        solver = trainer.cfg.SOLVER
        weights = sum(float(p.double().sum()) for p in trainer.model.parameters())
        schedule = trainer.max_iter, solver.STEPS, solver.WARMUP_ITERS
        states.append((*schedule, weights, torch.rand(1), np.random.rand()))
    assert states[0] == states[1] and states[0][:3] == (12, (8,), 4)


class Stopped(Exception):
    pass


def test_a_lazy_training_is_as_long_as_its_epochs(registered_cfg, monkeypatch):
    cfg = LazyConfig.load("configs/quick_schedules/improved_baseline_R_18_FPN_instant_efl.py")
    cfg.dataloader.train.dataset.names = "tiny_train"
    cfg.train.update(max_iter=90000, epochs=3)

    def build(cfg):
        raise Stopped(cfg.train.max_iter)

    monkeypatch.setattr("eql_d2.engine.lazy.build_lazy_model", build)
    with pytest.raises(Stopped, match="^12$"):
        train_lazy(cfg, resume=False)


def test_a_lazy_config_in_epochs(registered_cfg):
    cfg = LazyConfig.load("configs/quick_schedules/improved_baseline_R_18_FPN_instant_efl.py")
    cfg.dataloader.train.dataset.names = "tiny_train"
    assert with_iterations_lazy(cfg) is cfg
    cfg.train.epochs = 3
    with pytest.raises(InputError, match="train.max_iter is 20 and train.epochs is 3") as error:
        with_iterations_lazy(cfg)
    assert "\n" not in str(error.value)
    cfg.train.max_iter = 90000
    found = with_iterations_lazy(cfg)
    assert (found.train.max_iter, found.train.epochs) == (3 * 4, 0)
    cfg.train.epochs = -3
    with pytest.raises(InputError, match="train.epochs is -3: give a positive number"):
        with_iterations_lazy(cfg)

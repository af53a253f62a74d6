"""``SOLVER.REFERENCE_WORLD_SIZE``: a config for some processes, trained by others."""

import math

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from eql_d2.engine import Trainer
from eql_d2.engine.epochs import with_iterations
from eql_d2.engine.resolved import resolve
from tests.conftest import as_retinanet

NUM_IMAGES = 273
IN_ITERATIONS = {"MAX_ITER": 4000, "STEPS": (2400, 3200), "WARMUP_ITERS": 80}


@pytest.fixture
def cfg(tiny_cfg, no_datasets_left, monkeypatch):
    """A schedule for two processes on records that are only counted."""
    monkeypatch.setattr("eql_d2.data.build.check_training_records", lambda *_: None)  # no images
    annotations = [{"category_id": 0}]
    record = {"file_name": "x.jpg", "width": 64, "height": 64, "annotations": annotations}
    DatasetCatalog.register("counted", lambda: [record] * NUM_IMAGES)
    MetadataCatalog.get("counted").thing_classes = ["a"]
    cfg = as_retinanet(tiny_cfg)
    cfg.DATASETS.TRAIN = ("counted",)
    cfg.TEST.EVAL_PERIOD, cfg.MODEL.EQL.LOG_PERIOD = 400, 20
    cfg.SOLVER.IMS_PER_BATCH, cfg.SOLVER.BASE_LR, cfg.SOLVER.CHECKPOINT_PERIOD = 8, 0.02, 800
    return cfg


def in_epochs(cfg):
    solver = cfg.SOLVER
    solver.MAX_ITER, solver.STEPS, solver.WARMUP_ITERS = 40000, (30000,), 1000  # Detectron2's
    solver.EPOCHS, solver.EPOCH_STEPS, solver.WARMUP_EPOCHS = 12, (8, 11), 1
    return cfg


@pytest.fixture
def with_processes(monkeypatch):
    """Resolve a config for 2 as one of several processes; the loader is that of one process."""

    def resolved(cfg, num_processes, reference=2):
        cfg.SOLVER.REFERENCE_WORLD_SIZE = reference
        monkeypatch.setattr("eql_d2.engine.epochs.get_world_size", lambda: num_processes)
        monkeypatch.setattr("eql_d2.engine.resolved.get_world_size", lambda: num_processes)
        return resolve(cfg, Trainer.build_train_loader)

    return resolved


PROCESSES = pytest.mark.parametrize("num_processes", [1, 2, 8])


@PROCESSES
def test_a_schedule_in_iterations_is_scaled_as_detectron2_says(cfg, with_processes, num_processes):
    cfg.SOLVER.update(IN_ITERATIONS)
    found, scale = with_processes(cfg, num_processes), num_processes / 2
    solver = found.SOLVER
    assert (solver.IMS_PER_BATCH, solver.BASE_LR) == (8 * scale, 0.02 * scale)
    assert (solver.MAX_ITER, solver.WARMUP_ITERS) == (4000 / scale, 80 / scale)
    assert solver.STEPS == (2400 / scale, 3200 / scale)
    assert (solver.CHECKPOINT_PERIOD, found.TEST.EVAL_PERIOD) == (800 / scale, 400 / scale)
    assert solver.REFERENCE_WORLD_SIZE == num_processes
    # A log every so many iterations is no part of the schedule.
    assert found.MODEL.EQL == cfg.MODEL.EQL
    assert cfg.SOLVER.IMS_PER_BATCH == 8  # as it was


@PROCESSES
@pytest.mark.parametrize("has_epochs", [True, False])
def test_a_constant_end_is_scaled_as_the_rest(cfg, with_processes, num_processes, has_epochs):
    """So that it stays as long a part, and as small a share of the learning rate."""
    cfg.SOLVER.update(LR_SCHEDULER_NAME="WarmupCosineConstantLR", BASE_LR_END=0.001)
    if has_epochs:
        in_epochs(cfg).SOLVER.CONSTANT_EPOCHS = 3
    else:
        cfg.SOLVER.update(**IN_ITERATIONS, CONSTANT_ITERS=400)
    solver = with_processes(cfg, num_processes).SOLVER
    assert solver.CONSTANT_ITERS / solver.MAX_ITER == (3 / 12 if has_epochs else 400 / 4000)
    assert solver.BASE_LR_END / solver.BASE_LR == pytest.approx(0.05)


@PROCESSES
def test_epochs_are_those_of_a_config_with_the_scaled_batch(cfg, with_processes, num_processes):
    found = with_processes(in_epochs(cfg), num_processes)
    batch = 4 * num_processes
    epoch = math.ceil(NUM_IMAGES / batch)  # 69, 35 and 9 iterations
    solver = found.SOLVER
    assert (solver.IMS_PER_BATCH, solver.BASE_LR) == (batch, 0.02 * num_processes / 2)
    assert (solver.MAX_ITER, solver.STEPS) == (12 * epoch, (8 * epoch, 11 * epoch))
    assert solver.WARMUP_ITERS == epoch

    same = cfg.clone()
    same.SOLVER.IMS_PER_BATCH, same.SOLVER.BASE_LR = batch, 0.02 * num_processes / 2
    same.SOLVER.CHECKPOINT_PERIOD = int(800 * 2 / num_processes)
    same.TEST.EVAL_PERIOD = int(400 * 2 / num_processes)
    assert with_processes(same, num_processes, reference=num_processes) == found


@PROCESSES
def test_a_warm_up_in_iterations_is_scaled_beside_epochs(cfg, with_processes, num_processes):
    in_epochs(cfg).SOLVER.WARMUP_EPOCHS = 0
    found = with_processes(cfg, num_processes)
    assert found.SOLVER.WARMUP_ITERS == 1000 * 2 / num_processes


@PROCESSES
@pytest.mark.parametrize("has_epochs", [True, False])
def test_a_prior_is_found_in_batches_that_the_processes_can_share(
    cfg, with_processes, monkeypatch, num_processes, has_epochs
):
    """And the data are loaded once for epochs and prior."""
    (in_epochs(cfg) if has_epochs else cfg).MODEL.EQL.PRIOR_PROB = "auto"
    sizes = []

    def build(cfg):
        sizes.append(cfg.SOLVER.IMS_PER_BATCH)
        return build_train_loader(cfg)

    build_train_loader = Trainer.build_train_loader
    monkeypatch.setattr(Trainer, "build_train_loader", build)
    monkeypatch.setattr(
        "eql_d2.engine.resolved.with_found_prior", lambda cfg, build: (build(cfg), cfg)[1]
    )
    found = with_processes(cfg, num_processes)
    assert sizes == [4 * num_processes] == [found.SOLVER.IMS_PER_BATCH]


def test_a_config_without_the_key_is_not_touched(cfg, with_processes):
    cfg.SOLVER.update(IN_ITERATIONS)
    assert with_processes(cfg, 8, reference=0) is cfg
    found = with_processes(in_epochs(cfg), 8, reference=0)
    assert found.SOLVER.IMS_PER_BATCH == 8 and found.SOLVER.MAX_ITER == 12 * 35


@pytest.mark.parametrize("reference", [1, 2, 8])
def test_the_trainer_itself_scales_once(registered_cfg, reference):
    """One real process, a config for more."""
    cfg = in_epochs(as_retinanet(registered_cfg))
    cfg.DATASETS.TEST, cfg.SOLVER.EPOCHS = (), 3
    cfg.SOLVER.IMS_PER_BATCH, cfg.SOLVER.BASE_LR = 2 * reference, 0.01 * reference
    cfg.SOLVER.REFERENCE_WORLD_SIZE = reference
    trainer = Trainer(cfg)
    assert trainer.cfg.SOLVER.IMS_PER_BATCH == 2 and trainer.max_iter == 3 * 4  # of 8 images
    assert trainer.cfg.SOLVER.BASE_LR == pytest.approx(0.01)
    assert trainer.optimizer.param_groups[0]["initial_lr"] == pytest.approx(0.01)
    assert with_iterations(trainer.cfg, None) is trainer.cfg

"""Twice N steps without a stop against N steps, a SIGKILL, and N more in a new process.

Each row of the matrix also has a difference that must make none: the number of workers, and an
evaluation in the middle.
"""

import json
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import pytest
from detectron2.config import get_cfg
from PIL import Image

from tests.conftest import as_retinanet
from tests.data.class_images import make_class_folders
from tests.data.label_map_folders import as_semantic_fpn, make_mask_folder
from tests.engine.interrupted import final_state, run, steps

QUICK = Path(__file__).parents[2] / "configs/quick_schedules"
NUM_STEPS, KILL_BEFORE, PERIOD = 8, 5, 3

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_datasets_left")]


class Run(NamedTuple):
    """Arguments of a training; the keys are of what differs between its parts."""

    config: str
    options: list[str]
    overrides: list[str]
    output: str
    workers: str
    evaluation: str

    def command(self, output, workers=0, period=0, resume=False):
        differences = [(self.output, output), (self.workers, workers), (self.evaluation, period)]
        is_lazy = self.config.endswith(".py")
        return [
            *("--config-file", self.config, *self.options),
            *(["--resume"] if resume else []),
            *self.overrides,
            *([f"{k}={v}" for k, v in differences] if is_lazy else map(str, chain(*differences))),
        ]


def yaml_run(cfg, tmp_path, *options):
    cfg.DATASETS.JSON, cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = (), ("a_train",), ("a_val",)
    cfg.MODEL.EQL.LOG_PERIOD = 0
    cfg.SOLVER.CHECKPOINT_PERIOD = PERIOD
    if not cfg.SOLVER.EPOCHS:
        cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS = NUM_STEPS, (4, 6)
    path = tmp_path / "config.yaml"
    path.write_text(cfg.dump())
    keys = ("OUTPUT_DIR", "DATALOADER.NUM_WORKERS", "TEST.EVAL_PERIOD")
    return Run(str(path), options, [], *keys)


def lazy_run(name, options, *overrides):
    overrides = [
        f"train.max_iter={NUM_STEPS}",
        f"train.checkpointer.period={PERIOD}",
        "train.seed=7",
        "train.eql.log_period=0",
        "dataloader.train.dataset.names=a_train",
        "dataloader.test.dataset.names=a_val",
        *overrides,
    ]
    keys = ("train.output_dir", "dataloader.train.num_workers", "train.eval_period")
    return Run(str(QUICK / name), options, overrides, *keys)


def json_data(data):
    return [
        word
        for split in ("train", "val")
        for word in ("--dataset", f"a_{split}", f"{data / split}.json", str(data / split))
    ]


def two_stage(cfg, data, tmp_path):
    """Repeat factors rounded at random, yaml."""
    cfg.DATALOADER.SAMPLER_TRAIN = "RepeatFactorTrainingSampler"
    cfg.DATALOADER.REPEAT_THRESHOLD = 0.9
    return yaml_run(cfg, tmp_path, *json_data(data))


def one_stage(cfg, data, tmp_path):
    """Repeat factors rounded up, averages over steps and processes, yaml."""
    cfg.DATALOADER.SAMPLER_TRAIN = "RepeatFactorTrainingSampler"
    cfg.DATALOADER.REPEAT_THRESHOLD, cfg.DATALOADER.REPEAT_ROUNDING = 0.9, "ceil"
    cfg.MODEL.EMA.DECAY, cfg.MODEL.EMA.WARMUP, cfg.TEST.AVERAGE_NORM = 0.9, 4, True
    return yaml_run(as_retinanet(cfg), tmp_path, *json_data(data))


def improved_baseline(cfg, data, tmp_path):
    """A random subset of the images, an average over the steps, two micro-batches, LazyConfig."""
    sampler = "detectron2.data.samplers.RandomSubsetTrainingSampler"
    return lazy_run(
        "improved_baseline_R_18_FPN_instant_efl.py",
        json_data(data),
        "model.num_classes=5",
        "train.model_ema.decay=0.9",
        "train.micro_batches=2",
        "dataloader.train.mapper.augmentations.0.short_edge_length=[64]",
        "dataloader.test.mapper.augmentations.0.short_edge_length=64",
        f"dataloader.train.sampler={{_target_: {sampler}, size: 8, subset_ratio: 0.7}}",
    )


def classification(cfg, data, tmp_path):
    """Crops and colours at random, weights whose sampler draws its seed, LazyConfig."""
    sizes = [9, 4, 2, 1]
    options = ["--class-folder", "a_train", make_class_folders(tmp_path / "few_train", sizes)]
    options += ["--class-folder", "a_val", make_class_folders(tmp_path / "few_val", [2] * 4)]
    factors = f"{{_target_: torch.tensor, data: {[1.0] * 9 + [1.5] * 7}}}"
    sampler = "detectron2.data.samplers.RepeatFactorTrainingSampler"
    return lazy_run(
        "classification_R_18_instant_softmax_eql.py",
        options,
        "model.classifier.num_classes=4",
        "dataloader.train.mapper.transform.transforms.0.size=32",
        "dataloader.train.total_batch_size=4",
        f"dataloader.train.sampler={{_target_: {sampler}, repeat_factors: {factors}}}",
    )


def segmentation(cfg, data, tmp_path):
    """TrainingSampler, images of both orientations that no record tells of, epochs, yaml."""
    options = []
    for split in ("train", "val"):
        scenes = make_mask_folder(tmp_path / f"scenes_{split}", NUM_STEPS)
        options += ["--mask-folder", f"a_{split}", *scenes]
        for file in (tmp_path / f"scenes_{split}").glob("*/[1457].*"):
            Image.open(file).transpose(Image.Transpose.ROTATE_90).save(file)
    cfg.SOLVER.MAX_ITER, cfg.SOLVER.STEPS = get_cfg().SOLVER.MAX_ITER, get_cfg().SOLVER.STEPS
    cfg.SOLVER.EPOCHS, cfg.SOLVER.EPOCH_STEPS = 2, (1,)
    return yaml_run(as_semantic_fpn(cfg), tmp_path, *options)


def mosaic(cfg, data, tmp_path):
    """Images that are mixed until the sixth iteration, partners by the repeat factors, an average
    over the steps, yaml."""
    cfg.MODEL.EMA.DECAY, cfg.MODEL.EMA.WARMUP = 0.9, 4
    cfg.DATALOADER.SAMPLER_TRAIN, cfg.DATALOADER.REPEAT_THRESHOLD = (
        "RepeatFactorTrainingSampler",
        0.9,
    )
    cfg.DATALOADER.ASPECT_RATIO_GROUPING = False
    cfg.INPUT.MOSAIC.ENABLED, cfg.INPUT.MOSAIC.SIZE, cfg.INPUT.MOSAIC.UNTIL = True, 64, 0.75
    cfg.INPUT.MOSAIC.PARTNERS = "sampler"
    cfg.INPUT.HSV, cfg.INPUT.LONGEST_EDGE_TRAIN = (0.015, 0.7, 0.4), (48, 64, 80)
    return yaml_run(as_retinanet(cfg), tmp_path, *json_data(data))


MATRIX = [
    # task, processes, workers of the whole and of the second half, iterations between evaluations
    (two_stage, 1, (0, 2), (0, 4)),
    (one_stage, 2, (2, 0), (0, 0)),
    (improved_baseline, 1, (2, 2), (3, 0)),
    (classification, 2, (0, 2), (0, 4)),
    (segmentation, 1, (0, 0), (0, 4)),
    (mosaic, 2, (0, 2), (0, 4)),
]


@pytest.mark.parametrize(
    ("task", "processes", "workers", "evaluations"), MATRIX, ids=[row[0].__name__ for row in MATRIX]
)
def test_kill_and_resume_are_the_uninterrupted_run(
    tiny_cfg, data, tmp_path, task, processes, workers, evaluations
):
    """Images, their pixels, losses, learning rate, and all that the final checkpoint holds."""
    trained = task(tiny_cfg, data, tmp_path)
    whole, halves = str(tmp_path / "whole"), str(tmp_path / "halves")
    run(trained.command(whole, workers[0], evaluations[0]), f"{whole}.notes", processes=processes)
    command = trained.command(halves, workers[0], evaluations[0])
    between_micro_batches = 0.5 * (task is improved_baseline)
    kill_before = KILL_BEFORE + between_micro_batches
    run(command, f"{halves}.notes", kill_before=kill_before, processes=processes)
    command = trained.command(halves, workers[1], evaluations[1], resume=True)
    log = run(command, f"{halves}.notes", processes=processes)
    assert f"Starting training from iteration {PERIOD}\n" in log
    assert "go on in another order" not in log
    for rank in range(processes):
        expected = steps(f"{whole}.notes", rank)
        assert len(expected) == NUM_STEPS
        assert steps(f"{halves}.notes", rank) == expected
        assert len({json.dumps(step["pixels"]) for step in expected.values()}) > NUM_STEPS // 2
    expected, found = final_state(whole), final_state(halves)
    assert all(any(expected[name][2]) for name in expected if name.endswith("pos_grad"))
    assert found.keys() == expected.keys()
    assert [name for name, value in expected.items() if found[name] != value] == []

"""Checks of several keys of a yaml config together; those of one key are in ``rules.py``, those of
INPUT in ``input_combinations.py``.

Each check gets the config and whether the run trains, and yields a line for each problem.
"""

from collections.abc import Iterator

import numpy as np
import torch
from detectron2.config import CfgNode

from ...config import leaves, value_of
from ...data.category_groups import frequency_groups, group_labels
from ...losses import build_calibration, build_loss
from ...messages import shown
from ...refusals import refusal
from ...solver.weight_decay import check_overrides
from ...tasks import TASKS, task_of
from ..prior import without_auto_prior_yaml
from .environment import (
    check_batch_size,
    check_device,
    check_micro_batches,
    check_names,
    check_output_dir,
    check_precision,
)
from .input_combinations import INPUT_COMBINATIONS, Combination
from .keys import BOX_HEADS, is_read

_RESNET_FPN = {
    *("build_resnet_fpn_backbone", "build_retinanet_resnet_fpn_backbone"),
    "build_improved_baseline_resnet_fpn_backbone",
}
_CLASS_KEYS = [count.yaml_key for task in TASKS for count in task.class_counts.values()]


def _solver(cfg: CfgNode, training: bool) -> Iterator[str]:
    solver = cfg.SOLVER
    if not training:
        return
    name = solver.LR_SCHEDULER_NAME
    has_cosine = name in ("WarmupCosineLR", "WarmupCosineConstantLR")
    if has_cosine and solver.BASE_LR_END > solver.BASE_LR:
        yield (
            f"SOLVER.BASE_LR_END is {solver.BASE_LR_END}, more than BASE_LR {solver.BASE_LR}: the "
            "cosine ends at it, give less, for example 0.0"
        )
    yield from refusal(check_overrides, solver.WEIGHT_DECAY_OVERRIDES)
    if name == "WarmupCosineConstantLR":
        yield from _constant_end(solver)
    if solver.NESTEROV and solver.MOMENTUM == 0:
        yield "SOLVER.NESTEROV is True but MOMENTUM is 0: give a momentum, for example 0.9"


def _constant_end(solver: CfgNode) -> Iterator[str]:
    unit, whole = ("EPOCHS", "EPOCHS") if solver.EPOCHS else ("ITERS", "MAX_ITER")
    warmup, end = solver[f"WARMUP_{unit}"], solver[f"CONSTANT_{unit}"]
    if end and warmup + end > solver[whole]:
        yield (
            f"SOLVER.CONSTANT_{unit} is {end}, WARMUP_{unit} {warmup} and {whole} {solver[whole]}: "
            "no time is left for the cosine, give less of the first two"
        )


def _average(cfg: CfgNode, training: bool) -> Iterator[str]:
    if training and cfg.MODEL.EMA.DECAY and cfg.TEST.PRECISE_BN.ENABLED:
        yield (
            f"MODEL.EMA.DECAY is {cfg.MODEL.EMA.DECAY} and TEST.PRECISE_BN.ENABLED True, which is "
            "for a model that is not averaged: set it to False"
        )


def _batch_size(cfg: CfgNode, training: bool) -> Iterator[str]:
    size, reference = cfg.SOLVER.IMS_PER_BATCH, cfg.SOLVER.REFERENCE_WORLD_SIZE
    if training:
        yield from check_batch_size("SOLVER.IMS_PER_BATCH", size, reference)
        number = cfg.SOLVER.MICRO_BATCHES
        yield from check_micro_batches("SOLVER.MICRO_BATCHES", number, size, reference)


def _detections(cfg: CfgNode, training: bool) -> Iterator[str]:
    most, architecture = cfg.TEST.DETECTIONS_PER_IMAGE, cfg.MODEL.META_ARCHITECTURE
    # Detectron2's box heads keep all detections where it is negative.
    if most == 0 or (most < 0 and architecture not in BOX_HEADS):
        yield f"TEST.DETECTIONS_PER_IMAGE is {most}: give 1 or more, for example 100 (LVIS: 300)"


def _expected_results(cfg: CfgNode, training: bool) -> Iterator[str]:
    expected = cfg.TEST.EXPECTED_RESULTS
    for entry in expected:
        is_row = isinstance(entry, (list, tuple)) and len(entry) == 4
        if not is_row or not all(map(isinstance, entry, (str, str, (int, float), (int, float)))):
            yield (
                f"TEST.EXPECTED_RESULTS has {shown(entry)}: give task, metric, value and "
                "tolerance, for example ['bbox', 'AP', 38.5, 0.2]"
            )
    if expected and not cfg.DATASETS.TEST:
        yield "TEST.EXPECTED_RESULTS is set but DATASETS.TEST is empty: name test data there"


def _proposals(cfg: CfgNode, training: bool) -> Iterator[str]:
    for split in ("TRAIN", "TEST") if training else ("TEST",):
        names, files = cfg.DATASETS[split], cfg.DATASETS[f"PROPOSAL_FILES_{split}"]
        if cfg.MODEL.LOAD_PROPOSALS and len(names) != len(files):
            yield (
                f"DATASETS.PROPOSAL_FILES_{split} has {len(files)} files, DATASETS.{split} "
                f"{len(names)} data sets: give a file for each, or set MODEL.LOAD_PROPOSALS False"
            )


def _fpn(cfg: CfgNode, training: bool) -> Iterator[str]:
    features, stages = list(cfg.MODEL.FPN.IN_FEATURES), ["res2", "res3", "res4", "res5"]
    if cfg.MODEL.BACKBONE.NAME in _RESNET_FPN and features != stages[-len(features) :]:
        yield f"MODEL.FPN.IN_FEATURES is {features}: give neighbours up to 'res5', as {stages}"


def _sampler(cfg: CfgNode, training: bool) -> Iterator[str]:
    name, architecture = cfg.DATALOADER.SAMPLER_TRAIN, cfg.MODEL.META_ARCHITECTURE
    if training and name != "TrainingSampler" and architecture == "SemanticSegmentor":
        yield (
            f"DATALOADER.SAMPLER_TRAIN is {name}, which counts instances: label maps have none, "
            "give TrainingSampler"
        )


def _norms(cfg: CfgNode, training: bool) -> Iterator[str]:
    if not training or cfg.MODEL.DEVICE != "cpu":
        return
    for key, value in leaves(cfg):
        is_sync = key.endswith(".NORM") and value in ("SyncBN", "nnSyncBN")
        if is_sync and is_read(cfg, key, training):
            yield f"{key} is {value}, which trains on GPUs only: give BN, or another DEVICE"


def _device(cfg: CfgNode, training: bool) -> Iterator[str]:
    yield from check_device("MODEL.DEVICE", cfg.MODEL.DEVICE)
    if training:
        yield from check_precision("SOLVER.AMP.ENABLED", cfg.SOLVER.AMP.ENABLED, cfg.MODEL.DEVICE)


def _output_dir(cfg: CfgNode, training: bool) -> Iterator[str]:
    yield from check_output_dir("OUTPUT_DIR", cfg.OUTPUT_DIR)


def _data_sets(cfg: CfgNode, training: bool) -> Iterator[str]:
    sets = cfg.DATASETS
    own = [entry[0] for entry in (*sets.JSON, *sets.CLASS_FOLDERS, *sets.MASK_FOLDERS) if entry]
    if training:
        yield from check_names("DATASETS.TRAIN", sets.TRAIN, own, True)
    yield from check_names("DATASETS.TEST", sets.TEST, own, not training)


def _constructors(cfg: CfgNode, training: bool) -> Iterator[str]:
    """What the parts that a model or an evaluation will build say about their arguments."""
    cfg = without_auto_prior_yaml(cfg)
    eql, architecture = cfg.MODEL.EQL, cfg.MODEL.META_ARCHITECTURE
    for task in [task for task in TASKS if architecture in task.class_counts] or [task_of("")]:
        count = task.class_counts.get(architecture) or task.class_counts["GeneralizedRCNN"]
        num_classes = value_of(cfg, count.yaml_key)
        yield from refusal(build_loss, cfg, num_classes, _no_values, _no_values)
        if eql.CALIBRATION.NAME:
            yield from refusal(build_calibration, cfg, num_classes, *[_no_values] * 3)
    yield from refusal(frequency_groups, (), eql.FREQUENCY_THRESHOLDS)
    none = np.zeros(0)
    yield from refusal(group_labels, none, none, eql.SEM_SEG.GROUP_BY, eql.SEM_SEG.GROUP_THRESHOLDS)


def _boxes_of_calibration(cfg: CfgNode, training: bool) -> Iterator[str]:
    name, architecture = cfg.MODEL.EQL.CALIBRATION.NAME, cfg.MODEL.META_ARCHITECTURE
    others = {known for task in TASKS for known in task.class_counts} - {"GeneralizedRCNN"}
    if name == "FRACAL" and architecture in others:
        yield (
            "MODEL.EQL.CALIBRATION.NAME is FRACAL, which goes by where boxes lie and is for box "
            f"heads alone, but MODEL.META_ARCHITECTURE is {architecture}: set it to another or "
            "to ''"
        )


def _no_values() -> torch.Tensor:
    """In place of counts of the training data, which no constructor asks for yet."""
    return torch.zeros(0)


# Each check with the keys that it reads: where one of them is wrong by itself it says nothing.
COMBINATIONS: tuple[Combination, ...] = (
    *INPUT_COMBINATIONS,
    (_solver, ("SOLVER.",)),
    (_average, ("MODEL.EMA.", "TEST.PRECISE_BN.")),
    (_batch_size, ("SOLVER.IMS_PER_BATCH", "SOLVER.REFERENCE_WORLD_SIZE", "SOLVER.MICRO_BATCHES")),
    (_detections, ("TEST.DETECTIONS_PER_IMAGE",)),
    (_expected_results, ("TEST.EXPECTED_RESULTS", "DATASETS.TEST")),
    (_device, ("MODEL.DEVICE",)),
    (_proposals, ("DATASETS.", "MODEL.LOAD_PROPOSALS")),
    (_fpn, ("MODEL.FPN.", "MODEL.BACKBONE.")),
    (_sampler, ("DATALOADER.SAMPLER_TRAIN", "MODEL.META_ARCHITECTURE")),
    (_norms, ("MODEL.",)),
    (_output_dir, ("OUTPUT_DIR",)),
    (_data_sets, ("DATASETS.",)),
    (_boxes_of_calibration, ("MODEL.EQL.CALIBRATION.NAME", "MODEL.META_ARCHITECTURE")),
    (_constructors, ("MODEL.EQL.", "MODEL.RETINANET.FOCAL", *_CLASS_KEYS)),
)

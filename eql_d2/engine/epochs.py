"""Schedules in epochs: how many iterations they are is found in the training data."""

import logging
import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from detectron2.config import CfgNode, instantiate
from detectron2.engine import DefaultTrainer
from detectron2.utils.comm import get_world_size
from omegaconf import DictConfig

from ..config import default_config
from ..data import training_records
from ..exceptions import InputError
from ..random_numbers import random_numbers_given_back

logger = logging.getLogger(__name__)

_LAZY_MAX_ITER = 90000  # in Detectron2's configs/common/train.py, and in ours


class Epoch(NamedTuple):
    """Each image as often as the sampler repeats it.

    Attributes:
        num_images: without those that the loader leaves out.
        num_repeated: images with repetitions. Factors that are rounded stochastically count as they
            are: their epochs have this length on average.
        batch_size: images of an iteration, in all processes together.
    """

    num_images: int
    num_repeated: int
    batch_size: int

    @property
    def iterations(self) -> int:
        """As in the official code the last one counts whole."""
        return math.ceil(self.num_repeated / self.batch_size)

    def __str__(self) -> str:
        return (
            f"epochs of {self.num_repeated} images ({self.num_images} without repetitions) and "
            f"{self.iterations} iterations of {self.batch_size} images"
        )


def epoch_of(loader: Iterable, batch_size: int) -> Epoch:
    """What an epoch of training data is.

    Args:
        loader: of Detectron2.
        batch_size: images of an iteration, in all processes together.

    Raises:
        InputError: the loader is not Detectron2's.
    """
    data = training_records(loader)
    if data is None:
        raise InputError(
            "epochs are counted in data that Detectron2's loader loads, and these are none: set "
            "SOLVER.EPOCHS (train.epochs) to 0 and MAX_ITER (max_iter) to the iterations"
        )
    num_repeated = len(data.records)
    if data.repeat_factors is not None:
        num_repeated = round(data.repeat_factors.sum(dtype=np.float64))
    return Epoch(len(data.records), num_repeated, batch_size)


def with_iterations(cfg: CfgNode, build_train_loader: Callable[[CfgNode], Iterable]) -> CfgNode:
    """The config with iterations in the place of ``SOLVER.EPOCHS``, ``EPOCH_STEPS``,
    ``WARMUP_EPOCHS`` and ``CONSTANT_EPOCHS``. Collective.

    An epoch is counted in the batches of the processes at hand: with
    ``SOLVER.REFERENCE_WORLD_SIZE`` the config is scaled to them first. Scaled iterations would not
    do, for an epoch of 3.1 iterations is counted as 4, one of twice the batch as 2.

    Random numbers that building the loader draws are given back: a training in epochs is the
    training with the same iterations in its config.

    Raises:
        InputError: a key in iterations is set as well, the number of epochs is negative, or the
            loader is not Detectron2's.
    """
    if not cfg.SOLVER.EPOCHS:
        return cfg
    _check(cfg.SOLVER)
    cfg = scaled(cfg, get_world_size())
    with random_numbers_given_back():
        epoch = epoch_of(build_train_loader(cfg), cfg.SOLVER.IMS_PER_BATCH)
    found = cfg.clone()
    found.defrost()
    solver, length = found.SOLVER, epoch.iterations
    solver.MAX_ITER = solver.EPOCHS * length
    solver.STEPS = tuple(int(step * length) for step in solver.EPOCH_STEPS)
    if solver.WARMUP_EPOCHS:
        solver.WARMUP_ITERS = solver.WARMUP_EPOCHS * length
    if solver.CONSTANT_EPOCHS:
        solver.CONSTANT_ITERS = solver.CONSTANT_EPOCHS * length
    logger.info(
        f"{solver.EPOCHS} {epoch}: {solver.MAX_ITER} iterations, steps after {solver.STEPS}, "
        f"warm-up of {solver.WARMUP_ITERS}"
    )
    solver.EPOCHS, solver.EPOCH_STEPS = 0, ()
    solver.WARMUP_EPOCHS = solver.CONSTANT_EPOCHS = 0
    found.freeze()
    return found


def scaled(cfg: CfgNode, num_processes: int) -> CfgNode:
    """Detectron2's ``auto_scale_workers``, which does not know the constant end of
    "WarmupCosineConstantLR": ``CONSTANT_ITERS`` goes by the iterations, and ``BASE_LR_END`` by the
    learning rate of which it is a share."""
    found = DefaultTrainer.auto_scale_workers(cfg, num_processes)
    if found is cfg or cfg.SOLVER.LR_SCHEDULER_NAME != "WarmupCosineConstantLR":
        return found
    scale = num_processes / cfg.SOLVER.REFERENCE_WORLD_SIZE
    found.defrost()
    found.SOLVER.CONSTANT_ITERS = round(cfg.SOLVER.CONSTANT_ITERS / scale)
    found.SOLVER.BASE_LR_END = cfg.SOLVER.BASE_LR_END * scale
    found.freeze()
    return found


def with_iterations_lazy(
    cfg: DictConfig, build_train_loader: Callable[[DictConfig], Iterable] = instantiate
) -> DictConfig:
    """The same for a LazyConfig with ``train.epochs``; the loader is built from its
    ``dataloader.train``. Its ``lr_multiplier`` goes by the share of the training that is over, so
    it stays as it is."""
    epochs = cfg.train.get("epochs", 0)
    if not epochs:
        return cfg
    if cfg.train.max_iter != _LAZY_MAX_ITER:
        raise InputError(_both("train.max_iter", cfg.train.max_iter, "train.epochs", epochs))
    _check_positive("train.epochs", epochs)
    with random_numbers_given_back():
        loader = build_train_loader(cfg.dataloader.train)
    epoch = epoch_of(loader, cfg.dataloader.train.total_batch_size)
    cfg = cfg.copy()
    cfg.train.max_iter, cfg.train.epochs = epochs * epoch.iterations, 0
    logger.info(f"{epochs} {epoch}: {cfg.train.max_iter} iterations")
    return cfg


def _check(solver: CfgNode) -> None:
    default = default_config()
    keys = [("MAX_ITER", "EPOCHS"), ("STEPS", "EPOCH_STEPS")]
    if solver.WARMUP_EPOCHS:
        keys.append(("WARMUP_ITERS", "WARMUP_EPOCHS"))
    if solver.CONSTANT_EPOCHS:
        keys.append(("CONSTANT_ITERS", "CONSTANT_EPOCHS"))
    for key, other in keys:
        if solver[key] != default.SOLVER[key]:
            raise InputError(_both(f"SOLVER.{key}", solver[key], f"SOLVER.{other}", solver[other]))
    _check_positive("SOLVER.EPOCHS", solver.EPOCHS)


def _check_positive(key: str, epochs: int) -> None:
    if epochs < 0:
        raise InputError(f"{key} is {epochs}: give a positive number, or 0 to count in iterations")


def _both(key: str, value: object, other: str, epochs: object) -> str:
    return (
        f"{key} is {value} and {other} is {epochs}: a schedule is in iterations or in epochs, "
        "remove the one, or set SOLVER.EPOCHS (train.epochs) to 0"
    )

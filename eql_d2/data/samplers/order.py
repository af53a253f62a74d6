"""The order in which a sampler goes through the data, as numbers that a checkpoint can hold."""

from collections.abc import Mapping

import torch
from detectron2.data.samplers import (
    RandomSubsetTrainingSampler,
    RepeatFactorTrainingSampler,
    TrainingSampler,
)
from torch.utils.data import Sampler

from .repeat_factor_sampler import FastRepeatFactorTrainingSampler


def get_order(sampler: Sampler) -> dict[str, int]:
    """Seeds of a training sampler of Detectron2, which draws them where none are given.

    Returns:
        Empty for another sampler.
    """
    if not isinstance(sampler, (TrainingSampler, RepeatFactorTrainingSampler)):
        return {}
    order = {"seed": sampler._seed}
    if isinstance(sampler, RandomSubsetTrainingSampler):
        order["seed_subset"] = sampler._seed_subset
    return order


def set_order(sampler: Sampler, order: Mapping[str, int]) -> None:
    """Give a sampler the seeds that :func:`get_order` found in one of the same kind."""
    if order.keys() != get_order(sampler).keys():
        return
    if "seed" in order:
        sampler._seed = order["seed"]
    if "seed_subset" in order:
        sampler._seed_subset = order["seed_subset"]
        generator = torch.Generator()
        generator.manual_seed(sampler._seed_subset)
        chosen = torch.randperm(sampler._size, generator=generator)
        sampler._indexes_subset = chosen[: sampler._size_subset]


def fast(sampler: Sampler) -> Sampler:
    """A sampler of the same indices, the fastest there is to go through."""
    if type(sampler) is RepeatFactorTrainingSampler:
        return FastRepeatFactorTrainingSampler.of(sampler)
    return sampler

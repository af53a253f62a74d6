"""Repeat factor sampling that is fast to go through, and with the factors rounded up."""

import torch
from detectron2.data.samplers import RepeatFactorTrainingSampler
from torch import Tensor
from torch.utils.data import Sampler

from ...exceptions import InputError


class FastRepeatFactorTrainingSampler(RepeatFactorTrainingSampler):
    """The indices of Detectron2's, without its loop over the images of an epoch.

    A resumed training goes through all epochs that were before: with 100,000 images each takes
    Detectron2's 0.8 s, this one 4 ms.
    """

    @classmethod
    def of(cls, sampler: RepeatFactorTrainingSampler) -> "FastRepeatFactorTrainingSampler":
        """The one for a sampler of Detectron2."""
        factors = sampler._int_part + sampler._frac_part
        return cls(factors, shuffle=sampler._shuffle, seed=sampler._seed)

    def _get_epoch_indices(self, generator: torch.Generator) -> Tensor:
        rounded_up = torch.rand(len(self._frac_part), generator=generator) < self._frac_part
        repeats = self._int_part.long() + rounded_up
        return torch.repeat_interleave(torch.arange(len(repeats)), repeats)


class CeilRepeatFactorTrainingSampler(FastRepeatFactorTrainingSampler):
    """``RepeatFactorTrainingSampler`` that rounds up, as the official code of EFL does.

    Detectron2's draws in each epoch whether a factor is rounded up or down, so that it holds on
    average. Here each epoch has each image equally often, and one that is to be repeated at all is
    there at least twice.

    Args:
        repeat_factors: float (N,), of each image.
        **kwargs: as for Detectron2's, ``shuffle`` and ``seed``.
    """

    def __init__(self, repeat_factors: Tensor, **kwargs):
        super().__init__(repeat_factors.ceil(), **kwargs)


def round_repeat_factors(sampler: Sampler, rounding: str) -> Sampler:
    """A sampler of Detectron2 with its repeat factors rounded by ``DATALOADER.REPEAT_ROUNDING``.

    Args:
        sampler: as Detectron2 builds it.
        rounding: "stochastic", Detectron2's, or "ceil".

    Raises:
        InputError: the rounding is neither, or the sampler to round up has no repeat factors.
    """
    if rounding not in ("stochastic", "ceil"):
        raise InputError(
            f"DATALOADER.REPEAT_ROUNDING is {rounding!r}: choose stochastic (Detectron2's) or ceil"
        )
    if rounding == "stochastic":
        return sampler
    if not isinstance(sampler, RepeatFactorTrainingSampler):
        raise InputError(
            f"DATALOADER.REPEAT_ROUNDING is ceil, but {type(sampler).__name__} repeats nothing: "
            "set SAMPLER_TRAIN to RepeatFactorTrainingSampler, or REPEAT_ROUNDING to stochastic"
        )
    return CeilRepeatFactorTrainingSampler.of(sampler)

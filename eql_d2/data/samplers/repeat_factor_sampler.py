"""Repeat factor sampling with the factors rounded up."""

from detectron2.data.samplers import RepeatFactorTrainingSampler
from torch import Tensor
from torch.utils.data import Sampler

from ...exceptions import InputError


class CeilRepeatFactorTrainingSampler(RepeatFactorTrainingSampler):
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
    factors = sampler._int_part + sampler._frac_part
    return CeilRepeatFactorTrainingSampler(factors, shuffle=sampler._shuffle, seed=sampler._seed)

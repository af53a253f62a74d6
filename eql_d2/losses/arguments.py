"""Arguments of losses: their types, and what is asked of them before they are used."""

import math
from collections.abc import Callable
from numbers import Real

import torch
from torch import Tensor, nn

from ..exceptions import InputError

# One number per class that describes the training data, or a function that returns them, to be
# called before the first step
PerClass = Tensor | Callable[[], Tensor]
# What divides the summed loss
Normalizer = float | Tensor | None


def is_number(value: object) -> bool:
    """Whether a value is a finite real number, which a comparison alone does not tell: NaN is
    neither below nor above a bound, and a text raises a TypeError."""
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def values_per_class(owner: nn.Module, argument: str, values: Tensor) -> Tensor:
    """Values (C,) of an argument as float64.

    Raises:
        InputError: they are not as many as the classes of their owner.
    """
    values, num_classes = torch.as_tensor(values, dtype=torch.float64), owner.num_classes
    if values.shape != (num_classes,):
        raise InputError(
            f"{argument} of {type(owner).__name__} has shape {tuple(values.shape)}: with "
            f"{num_classes} classes it must be ({num_classes},)"
        )
    return values


def divided(total: Tensor, normalizer: float | Tensor) -> Tensor:
    """A summed loss over its normaliser, in its own dtype whatever that of the normaliser is."""
    return (total / normalizer).to(total.dtype)


def in_float32(logits: Tensor) -> Tensor:
    """Half precision as float32; float64 stays."""
    return logits if logits.dtype == torch.float64 else logits.float()

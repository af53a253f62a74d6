"""What the functions return, and the dtype in which they compute."""

from typing import NamedTuple

import torch
from torch import Tensor


class LossSums(NamedTuple):
    """Result of a function of this package.

    Attributes:
        loss: scalar, float32 (float64 of logits in float64), differentiable once with respect to
            the logits.
        pos_grad: float64 (K,), sum of the absolute gradients at the labelled entries of each
            column; a constant.
        neg_grad: (K,), the same at all other entries.
    """

    loss: Tensor
    pos_grad: Tensor
    neg_grad: Tensor


def compute_dtype(logits: Tensor) -> torch.dtype:
    """float32, or float64 for logits of float64; also inside autocast."""
    return torch.float64 if logits.dtype == torch.float64 else torch.float32

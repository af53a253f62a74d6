"""Rows and maps under one shape: planes (P, C, S), columns in the middle, without a copy."""

import torch
from torch import Tensor


def as_planes(logits: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Rows (R, C) as (R, C, 1), maps (N, C, ...) as (N, C, S).

    Args:
        logits: (R, C) or (N, C, ...).
        values: one for each row or place, (R,) or (N, ...), or of the shape of the logits.

    Returns:
        The logits (P, C, S), and the values (P, S) or (P, C, S).
    """
    has_columns = values.dim() == logits.dim()
    return logits[..., None].flatten(2), values[..., None].flatten(2 if has_columns else 1)


def is_label(planes: Tensor, labels: Tensor) -> Tensor:
    """Whether an entry of planes (P, C, S) is that of its label (P, S)."""
    classes = torch.arange(planes.shape[1], device=planes.device)
    return labels[:, None] == classes[:, None]

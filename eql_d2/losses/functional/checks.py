"""What is wrong with the arguments, in words: shapes and dtypes, which cost nothing to look at."""

from collections.abc import Sequence

import torch
from torch import Tensor


def refuse(function: str, *problems: str | None) -> None:
    """Raise a ``ValueError`` for the first problem there is."""
    for problem in problems:
        if problem is not None:
            raise ValueError(f"{function} {problem}")


def dtype_problem(logits: Tensor, targets: Tensor, takes_soft_labels: bool = False) -> str | None:
    """Logits that are not floating; labels of another dtype than int64."""
    if not logits.is_floating_point():
        return f"got logits of {logits.dtype}: they must be floating, logits.float()"
    if targets.dtype == torch.int64 or takes_soft_labels and targets.is_floating_point():
        return None
    soft = ", or floating soft labels" if takes_soft_labels else ""
    return (
        f"got targets of {targets.dtype}: give int64 labels (targets.long()){soft}; a negative "
        "label is ignored"
    )


def target_problem(logits: Tensor, targets: Tensor, takes_soft_labels: bool = False) -> str | None:
    """Targets of another dtype or shape than rows (R, K) or maps (N, K, ...) have."""
    if logits.dim() < 2:
        return f"got logits of shape {tuple(logits.shape)}: give (R, K) or (N, K, H, W)"
    is_soft = takes_soft_labels and targets.is_floating_point()
    expected = logits.shape if is_soft else logits.shape[:1] + logits.shape[2:]
    if targets.shape == expected:
        return dtype_problem(logits, targets, takes_soft_labels)
    return (
        f"got targets of shape {tuple(targets.shape)} for logits of shape {tuple(logits.shape)}: "
        f"give {'soft labels' if is_soft else 'labels'} of shape {tuple(expected)}"
    )


def shape_problem(argument: str, value: Tensor, shape: Sequence[int]) -> str | None:
    """An argument of another shape."""
    if value.shape == tuple(shape):
        return None
    return f"got {argument} of shape {tuple(value.shape)}: it must be {tuple(shape)}"


def quality_problem(quality: Tensor, targets: Tensor) -> str | None:
    """A quality that is not floating, or not of the shape of the labels."""
    if not quality.is_floating_point():
        return f"got a quality of {quality.dtype}: it must be floating, quality.float()"
    return shape_problem("a quality", quality, targets.shape)


def row_weight_problem(row_weight: Tensor | None, shape: Sequence[int]) -> str | None:
    """Weights of rows that are not floating, or not one for each row or place."""
    if row_weight is None:
        return None
    if not row_weight.is_floating_point():
        return f"got a row_weight of {row_weight.dtype}: it must be floating, row_weight.float()"
    return shape_problem("a row_weight", row_weight, shape)


def without_weightless(targets: Tensor, row_weight: Tensor | None) -> Tensor:
    """Labels that are ignored where the weight is 0, whatever the logits are; soft ones stay."""
    if row_weight is None or targets.is_floating_point():
        return targets
    return targets.masked_fill(row_weight == 0, -1)


def normalizer_problem(normalizer: object) -> str | None:
    """A tensor that is not one number."""
    if isinstance(normalizer, Tensor) and normalizer.numel() != 1:
        return f"got a normalizer of shape {tuple(normalizer.shape)}: give one number"
    return None

"""Gradient statistics of foreign files."""

import math

import torch
from torch import Tensor

from ...exceptions import InputError
from .foreign_file import ForeignFile
from .recipe import Change, Recipe


def add_statistics(
    recipe: Recipe,
    file: ForeignFile,
    num_classes: int,
    *,
    theirs: str,
    ours: str,
    largest_ratio: float = math.inf,
) -> bool:
    """Let the accumulated gradients come along, in float64, where a file has them.

    Sums that are not finite, from a step that overflowed, would spoil a training and are dropped.

    Args:
        recipe: of the rest of the file, is added to.
        file: to convert.
        num_classes: C.
        theirs: name of the loss in the file.
        ours: name of the loss in our model.
        largest_ratio: value at which the source clamps the ratio.

    Returns:
        Whether the file has statistics.

    Raises:
        InputError: the ratio of the file is not that of its gradients.
    """
    names = ("pos_grad", "neg_grad")
    found = [file.state[f"{theirs}.{n}"] for n in names if f"{theirs}.{n}" in file.state]
    if not found:
        return False
    if not all(bool(value.isfinite().all()) for value in found):
        recipe.dropped[rf"^{theirs}\.(pos|neg)_"] = (
            "gradients that are not finite: they start afresh"
        )
        return True
    recipe.layers[f"{ours}.statistics"] = theirs
    for name in names:
        recipe.shapes[f"{ours}.statistics.{name}"] = (num_classes,)
        recipe.changes[f"{ours}.statistics.{name}"] = Change((num_classes,), Tensor.double)
    _check_ratio(file.state, theirs, largest_ratio)
    recipe.dropped[rf"^{theirs}\.pos_neg$"] = "ratio of the gradients, which is computed here"
    return True


def _check_ratio(state: dict[str, Tensor], loss: str, largest_ratio: float) -> None:
    sums = [state.get(f"{loss}.{name}") for name in ("pos_grad", "neg_grad", "pos_neg")]
    if any(value is None for value in sums) or len({value.shape for value in sums}) > 1:
        return  # the recipe refuses what is missing or misshapen
    pos, neg, ratio = (value.double() for value in sums)
    # Where nothing was accumulated the file has a start value.
    touched = (pos > 0) & (neg > 0)
    expected = (pos / (neg + 1e-10)).clamp(max=largest_ratio)
    if not torch.allclose(ratio[touched], expected[touched], rtol=1e-3):
        raise InputError(
            f"{loss}.pos_neg is not the ratio of pos_grad and neg_grad: the statistics are of "
            "another kind, save the file without the three to convert its weights"
        )

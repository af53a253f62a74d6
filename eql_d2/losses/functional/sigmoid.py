"""Weighted sigmoid cross entropy: the maths that EQL and EQL v2 share."""

from collections.abc import Sequence

import torch
from torch import Tensor

from .backend import form_for
from .checks import (
    refuse,
    row_weight_problem,
    shape_problem,
    target_problem,
    without_weightless,
)
from .results import LossSums


def weighted_sigmoid_cross_entropy(
    logits: Tensor,
    targets: Tensor,
    pos_weight: Tensor,
    neg_weight: Tensor,
    label_group: Tensor | None = None,
    row_weight: Tensor | None = None,
) -> LossSums:
    r"""Sum of weighted binary cross entropies and the gradients that it gives to each column.

    With :math:`p = \sigma(z)`, label :math:`y_i` of row i and its group :math:`g_i`,

    .. math::
        L = \sum_i \bigl[ -w^+_{y_i} \log p_{i y_i}
            - \sum_{j \ne y_i} w^-_{g_i j} \log(1 - p_{ij}) \bigr]

    The weights are constants. Maps are taken as they are.

    Args:
        logits: (R, K) or (N, K, ...), any floating dtype. Computed in float32, in float64 if given
            so, also inside autocast.
        targets: int64 (R,) or (N, ...), the positive column of each row, 0..K-1; negative: ignored.
        pos_weight: (K,) weight of a column as positive.
        neg_weight: (K,) weight of a column as negative, or (G, K), one row for each group.
        label_group: int64 (K,), group of the rows that have this label; with a ``neg_weight`` of
            two dimensions only.
        row_weight: (R,) or (N, ...), weight of each row or place in the loss and in all
            sums; 1 if None. One of 0 is ignored.

    Returns:
        Loss and column sums, see :class:`LossSums`.

    Raises:
        ValueError: an argument has another shape or dtype.
    """
    columns = logits.shape[1:2]
    refuse(
        "weighted_sigmoid_cross_entropy",
        target_problem(logits, targets),
        shape_problem("a pos_weight", pos_weight, columns),
        shape_problem("a neg_weight", neg_weight, (*neg_weight.shape[:-1][:1], *columns)),
        _group_problem(label_group, neg_weight, columns),
        row_weight_problem(row_weight, targets.shape),
    )
    targets = without_weightless(targets, row_weight)
    return form_for(logits).weighted_sigmoid_cross_entropy(
        logits, targets, pos_weight, neg_weight, label_group, row_weight
    )


def _group_problem(
    label_group: Tensor | None, neg_weight: Tensor, columns: Sequence[int]
) -> str | None:
    if (label_group is not None) != (neg_weight.dim() == 2):
        return (
            f"got {'no' if label_group is None else 'a'} label_group with a neg_weight of shape "
            f"{tuple(neg_weight.shape)}: groups have a row of weights each"
        )
    if label_group is not None and label_group.dtype != torch.int64:
        return f"got a label_group of {label_group.dtype}: give int64, label_group.long()"
    return None if label_group is None else shape_problem("a label_group", label_group, columns)

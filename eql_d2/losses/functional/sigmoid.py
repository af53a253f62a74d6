"""Weighted sigmoid cross entropy: the maths that EQL and EQL v2 share."""

from torch import Tensor

from .backend import form_for
from .results import LossSums


def weighted_sigmoid_cross_entropy(
    logits: Tensor,
    targets: Tensor,
    pos_weight: Tensor,
    neg_weight: Tensor,
    label_group: Tensor | None = None,
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

    Returns:
        Loss and column sums, see :class:`LossSums`.
    """
    return form_for(logits).weighted_sigmoid_cross_entropy(
        logits, targets, pos_weight, neg_weight, label_group
    )

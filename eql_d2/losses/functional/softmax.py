"""Softmax cross entropy with a margin for each class: the maths of Softmax-EQL."""

from torch import Tensor

from .backend import form_for
from .checks import (
    normalizer_problem,
    refuse,
    row_weight_problem,
    shape_problem,
    target_problem,
    without_weightless,
)
from .results import LossSums


def softmax_cross_entropy(
    logits: Tensor,
    targets: Tensor,
    margin: Tensor,
    normalizer: float | Tensor = 1.0,
    row_weight: Tensor | None = None,
) -> LossSums:
    r"""Cross entropy of logits plus margins, and the gradients that it gives to each column.

    With :math:`p = \mathrm{softmax}(z + m)` over the columns and normaliser n,

    .. math::
        L = -\frac{1}{n} \sum_i \log p_{i y_i}, \qquad
        \frac{\partial L}{\partial z_{ij}} = \frac{1}{n} (p_{ij} - y_{ij})

    and with soft labels :math:`L = -\frac{1}{n} \sum_i \sum_j y_{ij} \log p_{ij}`. Margins and
    normaliser are constants. Maps are taken as they are, and nothing is one-hot.

    Args:
        logits: (R, K) or (N, K, ...), any floating dtype. Computed in float32, in float64 if given
            so, also inside autocast.
        targets: int64 (R,) or (N, ...), label 0..K-1, negative: ignored; or soft labels, floating
            and of the shape of the logits, which sum to 1 over the columns.
        margin: (K,), added to the logits.
        normalizer: positive number that divides all results.
        row_weight: (R,) or (N, ...), weight of each row or place in the loss and in all
            sums; 1 if None. One of 0 is ignored.

    Returns:
        Loss and column sums, see :class:`LossSums`; soft labels count as
        :math:`y |\partial L / \partial z|` and :math:`(1 - y) |\partial L / \partial z|`.

    Raises:
        ValueError: an argument has another shape or dtype.
    """
    refuse(
        "softmax_cross_entropy",
        target_problem(logits, targets, takes_soft_labels=True),
        shape_problem("a margin", margin, logits.shape[1:2]),
        normalizer_problem(normalizer),
        row_weight_problem(row_weight, logits.shape[:1] + logits.shape[2:]),
    )
    if isinstance(normalizer, Tensor):
        normalizer = normalizer.reshape(())
    targets = without_weightless(targets, row_weight)
    return form_for(logits).softmax_cross_entropy(logits, targets, margin, normalizer, row_weight)

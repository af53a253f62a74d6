"""Focal losses with a focusing factor for each class: the maths of EFL and EQFL."""

from collections.abc import Sequence

from torch import Tensor

from .backend import form_for
from .checks import (
    dtype_problem,
    quality_problem,
    refuse,
    row_weight_problem,
    shape_problem,
    without_weightless,
)
from .results import LossSums


def class_focal_loss(
    logits: Sequence[Tensor],
    labels: Sequence[Tensor],
    gamma: Tensor,
    pos_weight: Tensor,
    neg_weight: Tensor,
    quality: Sequence[Tensor] | None = None,
    row_weight: Sequence[Tensor] | None = None,
) -> LossSums:
    r"""Sum of focal losses with :math:`\gamma_j` of each class, and the gradients of each class.

    With :math:`p = \sigma(z)`, at the labelled class y of a sample, and at all other classes,

    .. math::
        L^+ = w^+_y (1 - p)^{\gamma_y} (-\log p), \qquad
        L^- = w^-_j \, p^{\gamma_j} (-\log (1 - p))

    and with a quality :math:`q` of the sample (arXiv 2006.04388) instead of :math:`L^+`

    .. math:: L^q = w^+_y |q - p|^{\gamma_y} \left( -q \log p - (1 - q) \log (1 - p) \right)

    The factors are constants.

    Deviation from the papers, on a CPU: gradients of negatives below 1e-24 are returned as 0 (the
    sums have them). Subnormal numbers made the convolutions of a step more than twice as slow.

    Args:
        logits: tensors (P, C, S), any floating dtype, P the same in all: for rows S is 1, for a map
            of a dense head P counts images and anchors, S positions. Computed in float32 (float64
            if given so).
        labels: for each of them int64 (P, S): 0..C-1, C for a sample of none of them, -1 ignored.
        gamma: (C,) focusing factor.
        pos_weight, neg_weight: (C,).
        quality: for each of the tensors (P, S), values in [0, 1]; read at positives only.
        row_weight: for each of the tensors (P, S), weight of each sample in the loss and in all
            sums; 1 if None. One of 0 is ignored.

    Returns:
        Loss and column sums, see :class:`LossSums`.

    Raises:
        ValueError: an argument has another shape or dtype, or there are no logits.
    """
    name, none = "class_focal_loss", [None] * len(logits)
    qualities, weights = (none if x is None else x for x in (quality, row_weight))
    lengths = {len(x) for x in (logits, labels, qualities, weights)}
    if isinstance(logits, Tensor) or len(lengths) > 1 or lengths == {0}:
        refuse(
            name,
            "takes sequences of logits, labels, qualities and row weights of one length, 1 or more",
        )
    planes, columns = logits[0].shape[:1], logits[0].shape[1:2]
    for z, label, q, weight in zip(logits, labels, qualities, weights):
        refuse(
            name,
            dtype_problem(z, label),
            shape_problem("logits", z, (*planes, *columns, *z.shape[-1:])),
            shape_problem("labels", label, (*planes, *z.shape[-1:])),
            None if q is None else quality_problem(q, label),
            row_weight_problem(weight, label.shape),
        )
    factors = {"gamma": gamma, "pos_weight": pos_weight, "neg_weight": neg_weight}
    refuse(name, *(shape_problem(f"a {key}", value, columns) for key, value in factors.items()))
    return form_for(logits[0]).class_focal_loss(
        logits,
        [without_weightless(label, weight) for label, weight in zip(labels, weights)],
        gamma,
        pos_weight,
        neg_weight,
        quality,
        row_weight,
    )

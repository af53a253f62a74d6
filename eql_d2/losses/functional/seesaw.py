"""The factors of the Seesaw loss (arXiv 2008.10032), as margins of its logits."""

import math

import torch
from torch import Tensor

from .checks import refuse, shape_problem, target_problem
from .results import compute_dtype


@torch.no_grad()
def seesaw_margins(
    logits: Tensor, targets: Tensor, class_count: Tensor, p: float, q: float, eps: float
) -> Tensor:
    r"""Logarithm of the factors that the Seesaw loss gives the negative classes of each row.

    The loss of a row of label i is

    .. math::
        -\log \frac{e^{z_i}}{\sum_{j \neq i} S_{ij} e^{z_j} + e^{z_i}}, \qquad
        S_{ij} = M_{ij} C_{ij}

    which is the cross entropy of :math:`z_j + \log S_{ij}`, where :math:`\log S_{ii} = 0`. With N
    samples of a class and :math:`\sigma` the softmax of the row, mitigation and compensation are

    .. math::
        \log M_{ij} = p \min(0, \log N_j - \log N_i), \qquad
        \log C_{ij} = q \max(0, \log \sigma_j - \log \max(\sigma_i, \epsilon))

    Both are constants: no gradient flows through them.

    Args:
        logits: z, (R, C), any floating dtype. Computed in float32, in float64 if given so.
        targets: int64 (R,), label 0..C-1. Others are taken for the nearest class: leave their rows
            out of the loss.
        class_count: N, (C,); below 1 counts as 1.
        p: exponent of the mitigation; 0 switches it off.
        q: exponent of the compensation; 0 switches it off.
        eps: smallest probability of the label in the compensation.

    Returns:
        :math:`\log S`, (R, C), 0 at the labels; float32 or float64.

    Raises:
        ValueError: an argument has another shape or dtype.
    """
    refuse(
        "seesaw_margins",
        target_problem(logits, targets),
        shape_problem("logits", logits, logits.shape[:2]),
        shape_problem("a class_count", class_count, logits.shape[1:]),
    )
    dtype = compute_dtype(logits)
    label = targets.clamp(0, logits.shape[1] - 1)
    log_count = class_count.clamp(min=1).log().to(dtype)
    mitigation = (log_count - log_count[label].unsqueeze(1)).clamp_(max=0).mul_(p)
    log_score = logits.to(dtype).log_softmax(1)
    of_label = log_score.gather(1, label.unsqueeze(1)).clamp_(min=math.log(eps))
    compensation = log_score.sub_(of_label).clamp_(min=0).mul_(q)
    return mitigation.add_(compensation)

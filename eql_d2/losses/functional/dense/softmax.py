"""Softmax cross entropy with a margin for each class, dense; the maths is in ``../softmax.py``."""

import torch
from torch import Tensor

from ..planes import as_planes, is_label
from ..results import LossSums, compute_dtype
from .recomputed import Recomputed


def softmax_cross_entropy(
    logits: Tensor,
    targets: Tensor,
    margin: Tensor,
    normalizer: float | Tensor = 1.0,
    row_weight: Tensor | None = None,
) -> LossSums:
    """As the function of this name in ``../softmax.py``."""
    margin = margin.to(compute_dtype(logits))
    scale = (margin.new_ones(()) / normalizer).to(margin.dtype)
    of_labels = (
        (_sums_soft, _gradient_soft)
        if targets.is_floating_point()
        else (_sums_hard, _gradient_hard)
    )
    z, labels = as_planes(logits, targets)
    if row_weight is not None:  # a factor of each row, like the normalizer
        row_weight = row_weight.to(margin.dtype).reshape(z.shape[0], 1, z.shape[2])
    return LossSums(*Recomputed.apply(*of_labels, z, labels, margin, scale, row_weight))


def _sums_hard(z, label, margin, scale, row_weight):
    log_p, at_label, positive = _log_p(z, label, margin)
    ignored = (label < 0)[:, None]
    others = log_p.exp().masked_fill(positive | ignored, 0)
    of_label = torch.expm1(at_label).neg().masked_fill(ignored, 0)
    at_label = at_label.masked_fill(ignored, 0)
    if row_weight is not None:
        others, of_label, at_label = (x * row_weight for x in (others, of_label, at_label))
    neg_grad = others.sum((0, 2), dtype=torch.float64) * scale
    pos_grad = torch.where(positive, of_label, 0).sum((0, 2), dtype=torch.float64) * scale
    loss = -at_label.sum(dtype=torch.float64) * scale
    return loss.to(scale.dtype), pos_grad, neg_grad


def _gradient_hard(z, label, margin, scale, row_weight):
    log_p, at_label, positive = _log_p(z, label, margin)
    gradient = torch.where(positive, torch.expm1(at_label), log_p.exp()) * scale
    if row_weight is not None:
        gradient = gradient * row_weight
    return gradient.masked_fill((label < 0)[:, None], 0)


def _log_p(z: Tensor, label: Tensor, margin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Logarithms of the probabilities (P, K, S), that of the label (P, 1, S), where it is."""
    log_p = (z.to(margin.dtype) + margin[:, None]).log_softmax(1)
    at_label = log_p.gather(1, label.clamp(min=0)[:, None])
    return log_p, at_label, is_label(z, label)


def _sums_soft(z, y, margin, scale, row_weight):
    y = y.to(margin.dtype)
    log_p = (z.to(margin.dtype) + margin[:, None]).log_softmax(1)
    gradient = (log_p.exp() * y.sum(1, keepdim=True) - y).abs() * scale
    loss = (y * log_p).masked_fill(y == 0, 0)
    if row_weight is not None:
        gradient, loss = gradient * row_weight, loss * row_weight
    pos_grad = (gradient * y).sum((0, 2), dtype=torch.float64)
    neg_grad = (gradient * (1 - y)).sum((0, 2), dtype=torch.float64)
    # A class of no share has no part in it, however small its probability.
    loss = -loss.sum(dtype=torch.float64) * scale
    return loss.to(scale.dtype), pos_grad, neg_grad


def _gradient_soft(z, y, margin, scale, row_weight):
    y = y.to(margin.dtype)
    p = (z.to(margin.dtype) + margin[:, None]).softmax(1)
    gradient = (p * y.sum(1, keepdim=True) - y) * scale
    return gradient if row_weight is None else gradient * row_weight

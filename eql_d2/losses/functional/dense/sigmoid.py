"""Weighted sigmoid cross entropy, dense; the maths is in ``../sigmoid.py``."""

import torch
from torch import Tensor

from ..planes import as_planes, is_label
from ..quality import softplus
from ..results import LossSums, compute_dtype
from .recomputed import Recomputed


def weighted_sigmoid_cross_entropy(
    logits: Tensor,
    targets: Tensor,
    pos_weight: Tensor,
    neg_weight: Tensor,
    label_group: Tensor | None = None,
    row_weight: Tensor | None = None,
) -> LossSums:
    """As the function of this name in ``../sigmoid.py``."""
    dtype = compute_dtype(logits)
    weights = pos_weight.to(dtype), neg_weight.to(dtype)
    z, label = as_planes(logits, targets)
    if row_weight is not None:
        row_weight = row_weight.to(dtype).reshape(label.shape)
    constants = label, *weights, label_group, row_weight
    return LossSums(*Recomputed.apply(_sums, _gradient, z, *constants))


def _sums(z, label, *weights):
    u, weight, positive = _mirrored(z, label, *weights)
    loss = (softplus(u) * weight).masked_fill((label < 0)[:, None], 0)
    gradient = (u.sigmoid() * weight).masked_fill((label < 0)[:, None], 0)
    pos_grad = gradient.where(positive, 0).sum((0, 2), dtype=torch.float64)
    neg_grad = gradient.masked_fill(positive, 0).sum((0, 2), dtype=torch.float64)
    return loss.sum(dtype=torch.float64).to(u.dtype), pos_grad, neg_grad


def _gradient(z, label, *weights):
    u, weight, positive = _mirrored(z, label, *weights)
    gradient = u.sigmoid() * weight
    gradient = torch.where(positive, -gradient, gradient)
    return gradient.masked_fill((label < 0)[:, None], 0)


def _mirrored(
    z, label, pos_weight, neg_weight, label_group, row_weight
) -> tuple[Tensor, Tensor, Tensor]:
    """Logits whose sign is changed at the label, weights, and where the label is; (P, K, S)."""
    positive = is_label(z, label)
    z = z.to(pos_weight.dtype)
    if label_group is None:
        neg_weight = neg_weight[:, None]
    else:
        neg_weight = neg_weight[label_group[label.clamp(min=0)]].movedim(-1, 1)
    weight = torch.where(positive, pos_weight[:, None], neg_weight)
    if row_weight is not None:
        weight = weight * row_weight[:, None]
    return torch.where(positive, -z, z), weight, positive

"""Focal losses with a focusing factor for each class, dense; the maths is in ``../focal.py``."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..planes import is_label
from ..quality import LARGEST_LOG, quality_focal_loss, softplus
from ..results import LossSums, compute_dtype
from .recomputed import Recomputed


def class_focal_loss(
    logits: Sequence[Tensor],
    labels: Sequence[Tensor],
    gamma: Tensor,
    pos_weight: Tensor,
    neg_weight: Tensor,
    quality: Sequence[Tensor] | None = None,
    row_weight: Sequence[Tensor] | None = None,
) -> LossSums:
    """As the function of this name in ``../focal.py``, of levels side by side in one tensor."""
    dtype = compute_dtype(logits[0])
    gamma, pos_weight, neg_weight = (x.to(dtype) for x in (gamma, pos_weight, neg_weight))
    z, label = _joined(logits, 2), _joined(labels, 1)
    quality, row_weight = (x if x is None else _joined(x, 1) for x in (quality, row_weight))
    factors = gamma, pos_weight, neg_weight
    return LossSums(*Recomputed.apply(_sums, _gradient, z, label, *factors, quality, row_weight))


def _joined(levels: Sequence[Tensor], dim: int) -> Tensor:
    return levels[0] if len(levels) == 1 else torch.cat(list(levels), dim)


def _sums(z, label, *factors):
    positive = is_label(z, label)
    loss, gradient = _entries(z, label, positive, *factors)
    gradient = gradient.abs()
    pos_grad = gradient.where(positive, 0).sum((0, 2), dtype=torch.float64)
    neg_grad = gradient.masked_fill(positive, 0).sum((0, 2), dtype=torch.float64)
    return loss.sum(dtype=torch.float64).to(loss.dtype), pos_grad, neg_grad


def _gradient(z, label, *factors):
    return _entries(z, label, is_label(z, label), *factors)[1]


def _entries(
    z: Tensor,
    label: Tensor,
    positive: Tensor,
    gamma: Tensor,
    pos_weight: Tensor,
    neg_weight: Tensor,
    quality: Tensor | None,
    row_weight: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Loss and derivative of each entry, 0 where the label is ignored."""
    z, gamma = z.to(gamma.dtype), gamma[:, None]
    # A positive is a negative of the mirrored logit: its derivative changes the sign.
    u = torch.where(positive, -z, z)
    weight = torch.where(positive, pos_weight[:, None], neg_weight[:, None])
    # Not infinite: 0 times infinity would be no number.
    modulator = (F.logsigmoid(u).clamp(min=-1e30) * gamma).exp() * weight
    neg_log = softplus(u)
    loss = modulator * neg_log
    x = neg_log.clamp(max=LARGEST_LOG) * gamma
    gradient = modulator * ((1 - x) * u.sigmoid() + x)
    gradient = torch.where(positive, -gradient, gradient)
    if quality is not None:
        of_label = label.clamp(0, z.shape[1] - 1)
        at_label, slope = quality_focal_loss(
            z.gather(1, of_label[:, None])[:, 0].double(),
            quality.double(),
            gamma[of_label, 0].double(),
        )
        weight = pos_weight[of_label]
        loss = torch.where(positive, (weight * at_label)[:, None].to(loss.dtype), loss)
        gradient = torch.where(positive, (weight * slope)[:, None].to(loss.dtype), gradient)
    if row_weight is not None:
        row_weight = row_weight[:, None].to(loss.dtype)
        loss, gradient = loss * row_weight, gradient * row_weight
    ignored = (label < 0)[:, None]
    return loss.masked_fill(ignored, 0), gradient.masked_fill(ignored, 0)

"""Focal losses with a focusing factor for each class, in blocks; the maths is in ``../focal.py``.

All entries are taken as negatives, then the labelled and the ignored ones are blanked; the few
positives follow by index.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..quality import LARGEST_LOG, quality_focal_loss, softplus
from ..results import LossSums, compute_dtype
from .cut import iterate_planes
from .one_pass import OnePass

_TINY = 1e-24


def class_focal_loss(
    logits: Sequence[Tensor],
    labels: Sequence[Tensor],
    gamma: Tensor,
    pos_weight: Tensor,
    neg_weight: Tensor,
    quality: Sequence[Tensor] | None = None,
    row_weight: Sequence[Tensor] | None = None,
) -> LossSums:
    """As the function of this name in ``../focal.py``."""
    none = [None] * len(logits)
    quality, row_weight = (none if x is None else x for x in (quality, row_weight))
    arguments = (labels, quality, row_weight, (gamma, pos_weight, neg_weight))
    return LossSums(*_ClassFocalLoss.apply(arguments, *logits))


class _ClassFocalLoss(OnePass):
    @staticmethod
    def forward(ctx, arguments, *logits):
        labels, quality, row_weight, factors = arguments
        dtype = compute_dtype(logits[0])
        gamma, pos_weight, neg_weight = (factor.to(dtype) for factor in factors)
        sums = torch.zeros(3, len(gamma), dtype=torch.float64, device=gamma.device)
        gradients = []
        for z, label, q, of_row in zip(logits, labels, quality, row_weight):
            gradient = torch.empty(z.shape, dtype=dtype, device=z.device)
            sums += _add_negatives(z, label, of_row, gamma, neg_weight, gradient)
            sums += _add_positives(z, label, q, of_row, gamma, pos_weight, gradient)
            gradients.append(gradient)
        loss = LossSums(sums[0].sum().to(dtype), sums[1], sums[2])
        return OnePass.finish(ctx, gradients, logits, loss)


def _add_negatives(z, label, row_weight, gamma, weight, gradient) -> Tensor:
    """Write the gradient of all entries as negatives; return the sums (3, C)."""
    plane, position = ((label >= 0) & (label < len(gamma))).nonzero(as_tuple=True)
    positive = (plane, label[plane, position], position)
    ignored = (label < 0).nonzero(as_tuple=True)
    gamma, weight = gamma[:, None], weight[:, None]
    has_no_focus = not bool(gamma.all())
    sums = torch.zeros(3, len(gamma), dtype=torch.float64, device=z.device)
    for planes, classes in iterate_planes(z.shape, z.device, num_temporaries=8):
        block = z[planes, classes].to(gamma.dtype)
        neg_log = softplus(block)  # -log(1 - p)
        p = block - neg_log  # log p, for now
        if has_no_focus:
            p.clamp_(min=-1e30)  # 0 times infinity would be no number
        modulator = torch.mul(p, gamma[classes]).exp_()  # p ** gamma
        if row_weight is not None:
            modulator.mul_(row_weight[planes, None])
        p.exp_()

        # Blanked before the sums, not subtracted from them, so that nothing cancels.
        here = _inside(positive[0], planes) & _inside(positive[1], classes)
        at_plane, at_class, at_position = (index[here] for index in positive)
        modulator[at_plane - planes.start, at_class - classes.start, at_position] = 0
        here = _inside(ignored[0], planes)
        for factor in (modulator, neg_log, p):  # each: 0 times infinity or NaN would remain
            factor[ignored[0][here] - planes.start, :, ignored[1][here]] = 0

        loss = torch.mul(modulator, neg_log).sum((0, 2))
        sums[0, classes] += loss.double() * weight[classes, 0]
        # w p**gamma (x (1 - p) + p) with x = -gamma log(1 - p); where x could overflow, 1 - p is 0
        x = neg_log.clamp_(max=LARGEST_LOG).mul_(gamma[classes])
        grad = torch.sub(1, x, out=gradient[planes, classes])
        grad.mul_(p).add_(x).mul_(modulator).mul_(weight[classes])
        sums[2, classes] += grad.sum((0, 2)).double()
        # p**10 reaches numbers that teach nothing and that convolutions on CPU are slow with.
        F.threshold_(grad, _TINY, 0.0)
    return sums


def _inside(index: Tensor, bounds: slice) -> Tensor:
    return (index >= bounds.start) & (index < bounds.stop)


def _add_positives(z, label, quality, row_weight, gamma, weight, gradient) -> Tensor:
    """Write the gradient at the labelled entries; return the sums (3, C).

    In float64: they are few, and a quality close to p loses digits in float32.
    """
    plane, position = ((label >= 0) & (label < len(gamma))).nonzero(as_tuple=True)
    classes = label[plane, position]
    z = z[plane, classes, position].double()
    gamma, weight = gamma[classes].double(), weight[classes].double()
    if row_weight is not None:
        weight = weight * row_weight[plane, position]
    if quality is None:
        loss, grad = _focal_positive(z, gamma)
    else:
        loss, grad = quality_focal_loss(z, quality[plane, position].double(), gamma)
    loss, grad = weight * loss, weight * grad
    gradient[plane, classes, position] = grad.to(gradient.dtype)
    sums = torch.zeros(3, gradient.shape[1], dtype=torch.float64, device=z.device)
    sums[0].index_add_(0, classes, loss)
    sums[1].index_add_(0, classes, grad.abs())
    return sums


def _focal_positive(z: Tensor, gamma: Tensor) -> tuple[Tensor, Tensor]:
    """(1 - p)**gamma (-log p) and its derivative."""
    neg_log, p = softplus(-z), torch.sigmoid(z)
    modulator = torch.exp(-gamma * softplus(z).clamp(max=1e30))
    x = gamma * neg_log.clamp(max=LARGEST_LOG)
    return modulator * neg_log, -modulator * (x * p + torch.sigmoid(-z))

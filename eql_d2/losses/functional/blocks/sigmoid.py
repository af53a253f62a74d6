"""Weighted sigmoid cross entropy in blocks; the maths is in ``../sigmoid.py``.

Every entry is taken as a negative, then the R positives are corrected by index.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..results import LossSums, compute_dtype
from .cut import iterate_blocks
from .one_pass import OnePass


def weighted_sigmoid_cross_entropy(
    logits: Tensor,
    targets: Tensor,
    pos_weight: Tensor,
    neg_weight: Tensor,
    label_group: Tensor | None = None,
    row_weight: Tensor | None = None,
) -> LossSums:
    """As the function of this name in ``../sigmoid.py``."""
    arguments = (targets, pos_weight, neg_weight, label_group, row_weight)
    return LossSums(*_WeightedSigmoidCE.apply(arguments, logits))


class _WeightedSigmoidCE(OnePass):
    @staticmethod
    def forward(ctx, arguments, logits):
        targets, pos_weight, neg_weight, label_group, row_weight = arguments
        dtype = compute_dtype(logits)
        pos_weight, neg_weight = pos_weight.to(dtype), neg_weight.to(dtype)
        gradient = torch.empty(logits.shape, dtype=dtype, device=logits.device)
        # Added up in float64: neither blocks nor positives, of a class millions, cost precision.
        sums = torch.zeros(2, logits.shape[1], dtype=torch.float64, device=logits.device)
        loss = torch.zeros((), dtype=torch.float64, device=logits.device)
        has_ignored = bool((targets < 0).any())

        for block in iterate_blocks(logits, targets, gradient, 2, row_weight):
            class_dim = block.class_dim
            z, label = block.logits.to(dtype), block.targets.clamp(min=0).unsqueeze(class_dim)
            ignored = (block.targets < 0).unsqueeze(class_dim) if has_ignored else None

            # Negatives: loss w softplus(z), gradient w sigmoid(z). Labels are blanked before the
            # sums, not subtracted from them, so that nothing cancels.
            if label_group is None:
                weight = neg_weight.view((1, -1) if class_dim == 1 else (-1, 1))
            else:
                weight = neg_weight[label_group[label.squeeze(class_dim)]].movedim(-1, class_dim)
            losses = F.softplus(z).scatter_(class_dim, label, 0.0).mul_(weight)
            grad = torch.sigmoid(z, out=block.gradient).scatter_(class_dim, label, 0.0)
            grad.mul_(weight)
            if row_weight is not None:
                losses.mul_(block.row_weight)
                grad.mul_(block.row_weight)
            if has_ignored:
                losses.masked_fill_(ignored, 0.0)
                grad.masked_fill_(ignored, 0.0)
            loss += losses.sum()
            sums[1] += grad.sum(1 - class_dim)

            # Positives: loss w softplus(-z), gradient -w sigmoid(-z).
            weight, z = pos_weight[label], z.gather(class_dim, label)
            if row_weight is not None:
                weight = (weight * block.row_weight).to(dtype)
            losses, label_grad = weight * F.softplus(-z), weight * torch.sigmoid(-z)
            if has_ignored:
                losses.masked_fill_(ignored, 0.0)
                label_grad.masked_fill_(ignored, 0.0)
            loss += losses.sum()
            sums[0].index_add_(0, label.flatten(), label_grad.flatten().double())
            grad.scatter_(class_dim, label, -label_grad)

        return OnePass.finish(ctx, [gradient], [logits], LossSums(loss.to(dtype), *sums))

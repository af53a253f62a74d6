"""Weighted sigmoid cross entropy in one pass: the maths that EQL and EQL v2 share."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .blocks import iterate_blocks

# Elements of one block. Small enough for its few temporaries to stay in a cache of a CPU; not
# smaller, since each operation wakes all threads, which is dear where the cores are busy. On other
# devices the blocks only bound the extra memory.
_BLOCK_ELEMENTS = {"cpu": 2**21}
_DEFAULT_BLOCK_ELEMENTS = 2**24


class WeightedSigmoidCE(NamedTuple):
    """Result of :func:`weighted_sigmoid_cross_entropy`."""

    loss: Tensor
    pos_grad: Tensor
    neg_grad: Tensor


def weighted_sigmoid_cross_entropy(
    logits: Tensor,
    targets: Tensor,
    pos_weight: Tensor,
    neg_weight: Tensor,
    label_group: Tensor | None = None,
) -> WeightedSigmoidCE:
    r"""Sum of weighted binary cross entropies and the gradients that it gives to each column.

    With :math:`p = \sigma(z)`, label :math:`y_i` of row i and its group :math:`g_i`,

    .. math::
        L = \sum_i \Big[ -w^+_{y_i} \log p_{i y_i}
            - \sum_{j \ne y_i} w^-_{g_i j} \log(1 - p_{ij}) \Big]

    The weights are constants. Loss, gradient and both column sums come from one pass over blocks:
    every entry is taken as a negative, then the R positives are corrected by index. Maps are taken
    as they are.

    Args:
        logits: (R, K) or (N, K, ...), any floating dtype. Computed in float32, in float64 if given
            so, also inside autocast.
        targets: int64 (R,) or (N, ...), the positive column of each row, 0..K-1; negative: ignored.
        pos_weight: (K,) weight of a column as positive.
        neg_weight: (K,) weight of a column as negative, or (G, K), one row for each group.
        label_group: int64 (K,), group of the rows that have this label; with a ``neg_weight`` of
            two dimensions only.

    Returns:
        ``loss``, scalar, differentiable once with respect to ``logits``; ``pos_grad`` and
        ``neg_grad``, (K,), the sums over rows of :math:`|\partial L / \partial z|` at the
        positive and at the negative entries, constants.
    """
    return WeightedSigmoidCE(
        *_WeightedSigmoidCE.apply(logits, targets, pos_weight, neg_weight, label_group)
    )


class _WeightedSigmoidCE(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, targets, pos_weight, neg_weight, label_group):
        dtype = torch.float64 if logits.dtype == torch.float64 else torch.float32
        pos_weight, neg_weight = pos_weight.to(dtype), neg_weight.to(dtype)
        gradient = torch.empty(logits.shape, dtype=dtype, device=logits.device)
        neg_grad = pos_weight.new_zeros(logits.shape[1])
        pos_grad = torch.zeros_like(neg_grad)
        # Sums of blocks, added in float64: their number must not cost precision.
        loss = torch.zeros((), dtype=torch.float64, device=logits.device)
        has_ignored = bool((targets < 0).any())

        elements = _BLOCK_ELEMENTS.get(logits.device.type, _DEFAULT_BLOCK_ELEMENTS)
        for block in iterate_blocks(logits, targets, gradient, elements):
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
            if has_ignored:
                losses.masked_fill_(ignored, 0.0)
                grad.masked_fill_(ignored, 0.0)
            loss += losses.sum()
            neg_grad += grad.sum(1 - class_dim)

            # Positives: loss w softplus(-z), gradient -w sigmoid(-z).
            weight, z = pos_weight[label], z.gather(class_dim, label)
            losses, label_grad = weight * F.softplus(-z), weight * torch.sigmoid(-z)
            if has_ignored:
                losses.masked_fill_(ignored, 0.0)
                label_grad.masked_fill_(ignored, 0.0)
            loss += losses.sum()
            pos_grad.index_add_(0, label.flatten(), label_grad.flatten())
            grad.scatter_(class_dim, label, -label_grad)

        ctx.save_for_backward(gradient)
        ctx.logits_dtype = logits.dtype
        ctx.mark_non_differentiable(pos_grad, neg_grad)
        ctx.set_materialize_grads(False)
        return loss.to(dtype), pos_grad, neg_grad

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad_loss, grad_pos, grad_neg):
        # Scaled before it is rounded to half precision: a GradScaler's scale saves small values.
        (gradient,) = ctx.saved_tensors
        return (gradient * grad_loss).to(ctx.logits_dtype), None, None, None, None

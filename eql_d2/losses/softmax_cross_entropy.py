"""Softmax cross entropy with a margin for each class, in one pass: the maths of Softmax-EQL."""

from typing import NamedTuple

import torch
from torch import Tensor

from .blocks import iterate_blocks

# Elements of one block, as in sigmoid_cross_entropy.py.
_BLOCK_ELEMENTS = {"cpu": 2**19}
_DEFAULT_BLOCK_ELEMENTS = 2**24


class SoftmaxSums(NamedTuple):
    """Result of :func:`softmax_cross_entropy`."""

    loss: Tensor
    pos_grad: Tensor
    neg_grad: Tensor


def softmax_cross_entropy(
    logits: Tensor, targets: Tensor, margin: Tensor, normalizer: float | Tensor = 1.0
) -> SoftmaxSums:
    r"""Cross entropy of logits plus margins, and the gradients that it gives to each column.

    With :math:`p = \mathrm{softmax}(z + m)` over the columns and normaliser n,

    .. math::
        L = -\frac{1}{n} \sum_i \log p_{i y_i}, \qquad
        \frac{\partial L}{\partial z_{ij}} = \frac{1}{n} (p_{ij} - y_{ij})

    and with soft labels :math:`L = -\frac{1}{n} \sum_i \sum_j y_{ij} \log p_{ij}`. Margins and
    normaliser are constants. Loss, gradient and both column sums come from one log-softmax over
    blocks that stay in cache, without one-hot targets; maps are taken as they are.

    Args:
        logits: (R, K) or (N, K, ...), any floating dtype. Computed in float32, in float64 if given
            so, also inside autocast.
        targets: int64 (R,) or (N, ...), label 0..K-1, negative: ignored; or soft labels, floating
            and of the shape of the logits, which sum to 1 over the columns.
        margin: (K,), added to the logits.
        normalizer: positive number that divides all results.

    Returns:
        ``loss``, scalar, differentiable once with respect to ``logits``; ``pos_grad`` and
        ``neg_grad``, (K,), the sums of :math:`y |\partial L / \partial z|` and
        :math:`(1 - y) |\partial L / \partial z|`, constants.
    """
    return SoftmaxSums(*_SoftmaxCE.apply(logits, targets, margin, normalizer))


class _SoftmaxCE(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, targets, margin, normalizer):
        dtype = torch.float64 if logits.dtype == torch.float64 else torch.float32
        gradient = torch.empty(logits.shape, dtype=dtype, device=logits.device)
        # Sums of blocks, added in float64: their number must not cost precision.
        sums = torch.zeros(2, logits.shape[1], dtype=torch.float64, device=logits.device)
        loss = torch.zeros((), dtype=torch.float64, device=logits.device)
        scale = 1 / torch.as_tensor(normalizer, dtype=dtype, device=logits.device)
        is_hard = not targets.is_floating_point()
        has_ignored = is_hard and bool((targets < 0).any())

        elements = _BLOCK_ELEMENTS.get(logits.device.type, _DEFAULT_BLOCK_ELEMENTS)
        for block in iterate_blocks(logits, targets, gradient, elements):
            shape = (1, -1) if block.class_dim == 1 else (-1, 1)
            log_p = block.logits.to(dtype) + margin.to(dtype).view(shape)
            log_p = log_p.log_softmax(block.class_dim)
            if is_hard:
                loss -= _hard_labels(log_p, block, scale, sums, has_ignored)
            else:
                loss -= _soft_labels(log_p, block, scale, sums)

        ctx.save_for_backward(gradient)
        ctx.logits_dtype = logits.dtype
        loss, pos_grad, neg_grad = (loss * scale).to(dtype), *sums.to(dtype)
        ctx.mark_non_differentiable(pos_grad, neg_grad)
        ctx.set_materialize_grads(False)
        return loss, pos_grad, neg_grad

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad_loss, grad_pos, grad_neg):
        # Mostly 1, and then no copy of the size of the logits is made. Otherwise scaled before it
        # is rounded to half precision: a GradScaler's scale saves small values.
        (gradient,) = ctx.saved_tensors
        if grad_loss != 1:
            gradient = gradient * grad_loss
        return gradient.to(ctx.logits_dtype), None, None, None


def _hard_labels(log_p, block, scale, sums, has_ignored) -> Tensor:
    """Write the gradient of a block and add to the sums (2, K); return the sum of log p."""
    class_dim, gradient = block.class_dim, block.gradient
    label = block.targets.clamp(min=0).unsqueeze(class_dim)
    label_log_p = log_p.gather(class_dim, label)
    # The label's entry is blanked before the sums, not subtracted, so that nothing cancels.
    torch.exp(log_p, out=log_p).mul_(scale).scatter_(class_dim, label, 0.0)
    label_gradient = torch.expm1(label_log_p).mul_(scale)
    if has_ignored:
        ignored = (block.targets < 0).unsqueeze(class_dim)
        log_p.masked_fill_(ignored, 0.0)
        label_gradient.masked_fill_(ignored, 0.0)
        label_log_p.masked_fill_(ignored, 0.0)
    sums[0].index_add_(0, label.flatten(), label_gradient.flatten().neg().double())
    sums[1] += log_p.sum(1 - class_dim)
    gradient.copy_(log_p).scatter_(class_dim, label, label_gradient)
    return label_log_p.sum()


def _soft_labels(log_p, block, scale, sums) -> Tensor:
    """The same for soft labels; returns the sum of y log p."""
    y = block.targets.to(log_p.dtype)
    gradient = torch.sub(log_p.exp() * y.sum(block.class_dim, keepdim=True), y).mul_(scale)
    block.gradient.copy_(gradient)
    absolute, rows = gradient.abs_(), 1 - block.class_dim
    sums[0] += (absolute * y).sum(rows)
    sums[1] += (absolute * (1 - y)).sum(rows)
    return (y * log_p).sum()

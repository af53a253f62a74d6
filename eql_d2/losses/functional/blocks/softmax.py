"""Softmax cross entropy with margins, by one log-softmax of each block; ``../softmax.py`` has the
maths."""

import torch
from torch import Tensor

from ..results import LossSums, compute_dtype
from .cut import iterate_blocks
from .one_pass import OnePass


def softmax_cross_entropy(
    logits: Tensor,
    targets: Tensor,
    margin: Tensor,
    normalizer: float | Tensor = 1.0,
    row_weight: Tensor | None = None,
) -> LossSums:
    """As the function of this name in ``../softmax.py``."""
    return LossSums(*_SoftmaxCE.apply((targets, margin, normalizer, row_weight), logits))


class _SoftmaxCE(OnePass):
    @staticmethod
    def forward(ctx, arguments, logits):
        targets, margin, normalizer, row_weight = arguments
        dtype = compute_dtype(logits)
        gradient = torch.empty(logits.shape, dtype=dtype, device=logits.device)
        # Sums of blocks, added in float64: their number must not cost precision.
        sums = torch.zeros(2, logits.shape[1], dtype=torch.float64, device=logits.device)
        loss = torch.zeros((), dtype=torch.float64, device=logits.device)
        scale = 1 / torch.as_tensor(normalizer, dtype=dtype, device=logits.device)
        is_hard = not targets.is_floating_point()
        has_ignored = is_hard and bool((targets < 0).any())

        scratch = None
        for block in iterate_blocks(logits, targets, gradient, 8, row_weight):
            shape = (1, -1) if block.class_dim == 1 else (-1, 1)
            if scratch is None:  # the first block is the largest
                scratch = gradient.new_empty(2, block.logits.numel())
            # Taken once: freed and taken again for each block they may be given back to the system
            # each time, and its zeroed pages cost more than all of the arithmetic.
            z, log_p = (part[: block.logits.numel()].view(block.logits.shape) for part in scratch)
            torch.add(block.logits, margin.to(dtype).view(shape), out=z)
            torch.log_softmax(z, block.class_dim, out=log_p)
            if is_hard:
                loss -= _hard_labels(log_p, block, scale, sums, has_ignored)
            else:
                loss -= _soft_labels(log_p, block, scale, sums)

        return OnePass.finish(ctx, [gradient], [logits], LossSums((loss * scale).to(dtype), *sums))


def _hard_labels(log_p, block, scale, sums, has_ignored) -> Tensor:
    """Write the gradient of a block and add to the sums (2, K); return the sum of log p."""
    class_dim, gradient = block.class_dim, block.gradient
    label = block.targets.clamp(min=0).unsqueeze(class_dim)
    label_log_p = log_p.gather(class_dim, label)
    # The label's entry is blanked before the sums, not subtracted, so that nothing cancels.
    torch.exp(log_p, out=gradient).mul_(scale).scatter_(class_dim, label, 0.0)
    label_gradient = torch.expm1(label_log_p).mul_(scale)
    if block.row_weight is not None:
        for factor in (gradient, label_gradient, label_log_p):
            factor.mul_(block.row_weight)
    if has_ignored:
        ignored = (block.targets < 0).unsqueeze(class_dim)
        gradient.masked_fill_(ignored, 0.0)
        label_gradient.masked_fill_(ignored, 0.0)
        label_log_p.masked_fill_(ignored, 0.0)
    sums[0].index_add_(0, label.flatten(), label_gradient.flatten().neg().double())
    sums[1] += gradient.sum(1 - class_dim)
    gradient.scatter_(class_dim, label, label_gradient)
    return label_log_p.sum()


def _soft_labels(log_p, block, scale, sums) -> Tensor:
    """The same for soft labels; returns the sum of y log p."""
    y = block.targets.to(log_p.dtype)
    gradient = torch.sub(log_p.exp() * y.sum(block.class_dim, keepdim=True), y).mul_(scale)
    if block.row_weight is not None:
        gradient.mul_(block.row_weight)
    block.gradient.copy_(gradient)
    absolute, rows = gradient.abs_(), 1 - block.class_dim
    sums[0] += (absolute * y).sum(rows)
    sums[1] += (absolute * (1 - y)).sum(rows)
    # A class of no share has no part in it, however small its probability.
    loss = (y * log_p).masked_fill_(y == 0, 0.0)
    return (loss if block.row_weight is None else loss * block.row_weight).sum()

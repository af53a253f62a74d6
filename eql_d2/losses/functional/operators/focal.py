"""Focal losses with a focusing factor for each class, fused; the maths is in ``../focal.py``."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..kernels import focal as kernels
from ..results import LossSums
from .tiling import partial_sums, short_labels, tiling


def class_focal_loss(
    logits: Sequence[Tensor],
    labels: Sequence[Tensor],
    gamma: Tensor,
    pos_weight: Tensor,
    neg_weight: Tensor,
    quality: Sequence[Tensor] | None = None,
) -> LossSums:
    """As the function of this name in ``../focal.py``, one launch for each of the tensors."""
    loss, pos_grad, neg_grad = _forward(
        [z.contiguous() for z in logits],
        [short_labels(label) for label in labels],
        gamma.float(),
        pos_weight.float(),
        neg_weight.float(),
        [] if quality is None else [q.contiguous() for q in quality],
    )
    return LossSums(loss, pos_grad.detach(), neg_grad.detach())


# PyTorch before 2.7 reads no list[Tensor] in a signature, so that the schemas are written out.
_INPUTS = (
    "Tensor[] logits, Tensor[] labels, Tensor gamma, Tensor pos_weight, Tensor neg_weight, "
    "Tensor[] quality"
)


@torch.library.custom_op(
    "eql_d2::class_focal_loss",
    mutates_args=(),
    schema=f"({_INPUTS}) -> (Tensor, Tensor, Tensor)",
)
def _forward(
    logits: list[Tensor],
    labels: list[Tensor],
    gamma: Tensor,
    pos_weight: Tensor,
    neg_weight: Tensor,
    quality: list[Tensor],
) -> tuple[Tensor, Tensor, Tensor]:
    tilings = [tiling(z) for z in logits]
    sums = partial_sums(tilings, gamma)
    factors, first_row = (gamma, pos_weight, neg_weight), 0
    # Without a quality any pointer will do.
    for z, label, q, tiles in zip(logits, labels, quality or logits, tilings):
        tiles.launch(
            kernels.forward_kernel,
            *(z, label, q, *factors, sums, first_row, sums.shape[1]),
            TILES=tiles.tiles,
            HAS_QUALITY=bool(quality),
        )
        first_row += tiles.programs(tiles.tiles)
    loss, pos_grad, neg_grad = sums.sum(1, dtype=torch.float64)
    return loss.sum().float(), pos_grad.clone(), neg_grad.clone()


@_forward.register_fake
def _(logits, labels, gamma, pos_weight, neg_weight, quality):
    sums = gamma.new_empty(gamma.shape, dtype=torch.float64)
    return gamma.new_empty(()), sums, torch.empty_like(sums)


@torch.library.custom_op(
    "eql_d2::class_focal_loss_backward",
    mutates_args=(),
    schema=f"(Tensor grad_loss, {_INPUTS}) -> Tensor[]",
)
def _backward(
    grad_loss: Tensor,
    logits: list[Tensor],
    labels: list[Tensor],
    gamma: Tensor,
    pos_weight: Tensor,
    neg_weight: Tensor,
    quality: list[Tensor],
) -> list[Tensor]:
    gradients = [torch.empty_like(z) for z in logits]
    factors = gamma, pos_weight, neg_weight
    for z, label, q, gradient in zip(logits, labels, quality or logits, gradients):
        arguments = z, label, q, *factors, grad_loss, gradient
        tiling(z).launch(kernels.backward_kernel, *arguments, HAS_QUALITY=bool(quality))
    return gradients


@_backward.register_fake
def _(grad_loss, logits, labels, gamma, pos_weight, neg_weight, quality):
    return [torch.empty_like(z) for z in logits]


def _setup_context(ctx, inputs, output):
    logits, labels, gamma, pos_weight, neg_weight, quality = inputs
    ctx.save_for_backward(*logits, *labels, *quality, gamma, pos_weight, neg_weight)
    ctx.number = len(logits)


def _differentiate(ctx, grad_loss, grad_pos, grad_neg):
    *tensors, gamma, pos_weight, neg_weight = ctx.saved_tensors
    n = ctx.number
    logits, labels, quality = tensors[:n], tensors[n : 2 * n], tensors[2 * n :]
    gradients = _backward(grad_loss, logits, labels, gamma, pos_weight, neg_weight, quality)
    return gradients, [None] * n, None, None, None, [None] * len(quality)


_forward.register_autograd(_differentiate, setup_context=_setup_context)

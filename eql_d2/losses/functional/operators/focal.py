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
    row_weight: Sequence[Tensor] | None = None,
) -> LossSums:
    """As the function of this name in ``../focal.py``, one launch for each of the tensors."""
    loss, pos_grad, neg_grad = _forward(
        [z.contiguous() for z in logits],
        [short_labels(label) for label in labels],
        gamma.float(),
        pos_weight.float(),
        neg_weight.float(),
        [] if quality is None else [q.contiguous() for q in quality],
        [] if row_weight is None else [w.contiguous() for w in row_weight],
    )
    return LossSums(loss, pos_grad.detach(), neg_grad.detach())


# PyTorch before 2.7 reads no list[Tensor] in a signature, so that the schemas are written out.
_INPUTS = (
    "Tensor[] logits, Tensor[] labels, Tensor gamma, Tensor pos_weight, Tensor neg_weight, "
    "Tensor[] quality, Tensor[] row_weight"
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
    row_weight: list[Tensor],
) -> tuple[Tensor, Tensor, Tensor]:
    tilings = [tiling(z) for z in logits]
    sums = partial_sums(tilings, gamma)
    factors, first_row = (gamma, pos_weight, neg_weight), 0
    # Without a quality, or weights of rows, any pointer will do.
    of_rows = zip(labels, quality or logits, row_weight or logits)
    for z, (label, q, weight), tiles in zip(logits, of_rows, tilings):
        tiles.launch(
            kernels.forward_kernel,
            *(z, label, q, weight, *factors, sums, first_row, sums.shape[1]),
            TILES=tiles.tiles,
            HAS_QUALITY=bool(quality),
            HAS_ROW_WEIGHT=bool(row_weight),
        )
        first_row += tiles.programs(tiles.tiles)
    loss, pos_grad, neg_grad = sums.sum(1, dtype=torch.float64)
    return loss.sum().float(), pos_grad.clone(), neg_grad.clone()


@_forward.register_fake
def _(logits, labels, gamma, pos_weight, neg_weight, quality, row_weight):
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
    row_weight: list[Tensor],
) -> list[Tensor]:
    gradients = [torch.empty_like(z) for z in logits]
    factors = gamma, pos_weight, neg_weight
    of_rows = zip(labels, quality or logits, row_weight or logits)
    for z, (label, q, weight), gradient in zip(logits, of_rows, gradients):
        tiling(z).launch(
            kernels.backward_kernel,
            *(z, label, q, weight, *factors, grad_loss, gradient),
            HAS_QUALITY=bool(quality),
            HAS_ROW_WEIGHT=bool(row_weight),
        )
    return gradients


@_backward.register_fake
def _(grad_loss, logits, labels, gamma, pos_weight, neg_weight, quality, row_weight):
    return [torch.empty_like(z) for z in logits]


def _setup_context(ctx, inputs, output):
    logits, labels, gamma, pos_weight, neg_weight, quality, row_weight = inputs
    factors = gamma, pos_weight, neg_weight
    ctx.save_for_backward(*logits, *labels, *quality, *row_weight, *factors)
    ctx.numbers = [len(logits), len(labels), len(quality), len(row_weight)]


def _differentiate(ctx, grad_loss, grad_pos, grad_neg):
    *tensors, gamma, pos_weight, neg_weight = ctx.saved_tensors
    tensors = iter(tensors)
    logits, *of_rows = ([next(tensors) for _ in range(number)] for number in ctx.numbers)
    labels, quality, row_weight = of_rows
    factors = gamma, pos_weight, neg_weight
    gradients = _backward(grad_loss, logits, labels, *factors, quality, row_weight)
    no_labels, no_quality, no_weight = ([None] * len(of_row) for of_row in of_rows)
    return gradients, no_labels, None, None, None, no_quality, no_weight


_forward.register_autograd(_differentiate, setup_context=_setup_context)

"""Weighted sigmoid cross entropy, fused; the maths is in ``../sigmoid.py``."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..planes import as_planes
from ..results import LossSums
from .tiles import (
    NUM_WARPS,
    load_tile,
    partial_sums,
    short_labels,
    sigmoid,
    softplus,
    store_sums,
    tiling,
)


def weighted_sigmoid_cross_entropy(
    logits: Tensor,
    targets: Tensor,
    pos_weight: Tensor,
    neg_weight: Tensor,
    label_group: Tensor | None = None,
) -> LossSums:
    """As the function of this name in ``../sigmoid.py``."""
    z, label = as_planes(logits.contiguous(), short_labels(targets))
    weights = pos_weight.float().contiguous(), neg_weight.float().contiguous()
    loss, pos_grad, neg_grad = _forward(z, label, *weights, label_group)
    return LossSums(loss, pos_grad.detach(), neg_grad.detach())


@triton.jit
def _load_weights(
    pos_weight_ptr,
    neg_weight_ptr,
    group_ptr,
    label,
    column,
    columns,
    HAS_GROUPS: tl.constexpr,
):
    """Weights of a tile where it is positive, and where it is negative."""
    inside = column < columns
    pos_weight = tl.load(pos_weight_ptr + column, mask=inside, other=0.0)[None, :]
    if HAS_GROUPS:
        group = tl.load(group_ptr + tl.maximum(label, 0))
        place = (group * columns)[:, None] + column[None, :]
        neg_weight = tl.load(neg_weight_ptr + place, mask=inside[None, :], other=0.0)
    else:
        neg_weight = tl.load(neg_weight_ptr + column, mask=inside, other=0.0)[None, :]
    return pos_weight, neg_weight


@triton.jit(do_not_specialize=["num_rows"])
def forward_kernel(
    z_ptr,
    label_ptr,
    pos_weight_ptr,
    neg_weight_ptr,
    group_ptr,
    sums_ptr,
    num_rows,
    positions,
    columns,
    position_stride,
    column_stride,
    plane_stride,
    TILES: tl.constexpr,
    HAS_GROUPS: tl.constexpr,
    POSITIONS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    blocks = tl.cdiv(positions, POSITIONS * TILES)
    plane = (tl.program_id(0) // blocks).to(tl.int64)
    block = tl.program_id(0) % blocks
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    loss_sum = tl.zeros((COLUMNS,), tl.float32)
    pos_sum = tl.zeros((COLUMNS,), tl.float32)
    neg_sum = tl.zeros((COLUMNS,), tl.float32)
    for tile in range(TILES):
        position = (block * TILES + tile) * POSITIONS + tl.arange(0, POSITIONS)
        z, _, inside, label = load_tile(
            z_ptr,
            label_ptr,
            plane,
            position,
            column,
            positions,
            columns,
            position_stride,
            column_stride,
            plane_stride,
        )
        pos_weight, neg_weight = _load_weights(
            pos_weight_ptr, neg_weight_ptr, group_ptr, label, column, columns, HAS_GROUPS
        )
        positive = label[:, None] == column[None, :]
        # A positive is a negative of the mirrored logit.
        u = tl.where(positive, -z, z)
        weight = tl.where(positive, pos_weight, neg_weight)
        counts = inside & (label >= 0)[:, None]
        gradient = sigmoid(u) * weight
        loss_sum += tl.sum(tl.where(counts, softplus(u) * weight, 0.0), 0)
        pos_sum += tl.sum(tl.where(counts & positive, gradient, 0.0), 0)
        neg_sum += tl.sum(tl.where(counts & (positive == 0), gradient, 0.0), 0)
    row = tl.program_id(0)
    store_sums(sums_ptr, row, num_rows, column, columns, loss_sum, pos_sum, neg_sum)


@triton.jit
def backward_kernel(
    z_ptr,
    label_ptr,
    pos_weight_ptr,
    neg_weight_ptr,
    group_ptr,
    grad_loss_ptr,
    gradient_ptr,
    positions,
    columns,
    position_stride,
    column_stride,
    plane_stride,
    HAS_GROUPS: tl.constexpr,
    POSITIONS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    blocks = tl.cdiv(positions, POSITIONS)
    plane = (tl.program_id(0) // blocks).to(tl.int64)
    position = (tl.program_id(0) % blocks) * POSITIONS + tl.arange(0, POSITIONS)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    z, place, inside, label = load_tile(
        z_ptr,
        label_ptr,
        plane,
        position,
        column,
        positions,
        columns,
        position_stride,
        column_stride,
        plane_stride,
    )
    pos_weight, neg_weight = _load_weights(
        pos_weight_ptr, neg_weight_ptr, group_ptr, label, column, columns, HAS_GROUPS
    )
    positive = label[:, None] == column[None, :]
    gradient = tl.where(positive, -sigmoid(-z) * pos_weight, sigmoid(z) * neg_weight)
    # Scaled before it is rounded to half precision: a GradScaler's scale saves small values.
    gradient = tl.where((label >= 0)[:, None], gradient * tl.load(grad_loss_ptr), 0.0)
    tl.store(gradient_ptr + place, gradient.to(gradient_ptr.dtype.element_ty), mask=inside)


@torch.library.custom_op("eql_d2::weighted_sigmoid_cross_entropy", mutates_args=())
def _forward(
    z: Tensor, label: Tensor, pos_weight: Tensor, neg_weight: Tensor, label_group: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    tiles = tiling(z)
    sums = partial_sums([tiles], 3, pos_weight)
    with torch.cuda.device_of(z):
        forward_kernel[tiles.grid(tiles.tiles)](
            z,
            label,
            pos_weight,
            neg_weight,
            label if label_group is None else label_group,
            sums,
            sums.shape[1],
            tiles.positions,
            tiles.columns,
            *tiles.strides,
            TILES=tiles.tiles,
            HAS_GROUPS=label_group is not None,
            POSITIONS=tiles.shape[0],
            COLUMNS=tiles.shape[1],
            num_warps=NUM_WARPS,
        )
    loss, pos_grad, neg_grad = sums.sum(1, dtype=torch.float64)
    return loss.sum().float(), pos_grad.float(), neg_grad.float()


@_forward.register_fake
def _(z, label, pos_weight, neg_weight, label_group):
    return pos_weight.new_empty(()), torch.empty_like(pos_weight), torch.empty_like(pos_weight)


@torch.library.custom_op("eql_d2::weighted_sigmoid_cross_entropy_backward", mutates_args=())
def _backward(
    grad_loss: Tensor,
    z: Tensor,
    label: Tensor,
    pos_weight: Tensor,
    neg_weight: Tensor,
    label_group: Tensor | None,
) -> Tensor:
    gradient, tiles = torch.empty_like(z), tiling(z)
    with torch.cuda.device_of(z):
        backward_kernel[tiles.grid()](
            z,
            label,
            pos_weight,
            neg_weight,
            label if label_group is None else label_group,
            grad_loss,
            gradient,
            tiles.positions,
            tiles.columns,
            *tiles.strides,
            HAS_GROUPS=label_group is not None,
            POSITIONS=tiles.shape[0],
            COLUMNS=tiles.shape[1],
            num_warps=NUM_WARPS,
        )
    return gradient


@_backward.register_fake
def _(grad_loss, z, label, pos_weight, neg_weight, label_group):
    return torch.empty_like(z)


def _setup_context(ctx, inputs, output):
    ctx.save_for_backward(*inputs)


def _differentiate(ctx, grad_loss, grad_pos, grad_neg):
    return _backward(grad_loss, *ctx.saved_tensors), None, None, None, None


_forward.register_autograd(_differentiate, setup_context=_setup_context)

"""Focal losses with a focusing factor for each class, fused; the maths is in ``../focal.py``."""

from collections.abc import Sequence

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..results import LossSums
from .tiles import (
    NUM_WARPS,
    load_tile,
    log1p,
    partial_sums,
    short_labels,
    sigmoid,
    softplus,
    store_sums,
    tiling,
)


def class_focal_loss(
    logits: Sequence[Tensor],
    labels: Sequence[Tensor],
    gamma: Tensor,
    pos_weight: Tensor,
    neg_weight: Tensor,
    quality: Sequence[Tensor] | None = None,
) -> LossSums:
    """As the function of this name in ``../focal.py``, one launch for each of the tensors."""
    factors = (factor.float() for factor in (gamma, pos_weight, neg_weight))
    quality = [] if quality is None else [q.contiguous() for q in quality]
    loss, pos_grad, neg_grad = _forward(
        [z.contiguous() for z in logits],
        [short_labels(label) for label in labels],
        *factors,
        quality,
    )
    return LossSums(loss, pos_grad.detach(), neg_grad.detach())


@triton.jit
def _entries(z, positive, quality, gamma, pos_weight, neg_weight, HAS_QUALITY: tl.constexpr):
    """Loss and derivative of a tile. A positive is a negative of the mirrored logit."""
    u = tl.where(positive, -z, z)
    shared = log1p(tl.exp(-tl.abs(u)))
    log_p = tl.minimum(u, 0.0) - shared
    neg_log = tl.maximum(u, 0.0) + shared
    modulator = tl.exp(gamma * log_p) * tl.where(positive, pos_weight, neg_weight)
    x = gamma * tl.minimum(neg_log, 80.0)
    loss = modulator * neg_log
    gradient = modulator * ((1.0 - x) * sigmoid(u) + x)
    gradient = tl.where(positive, -gradient, gradient)
    if HAS_QUALITY:
        p = sigmoid(z)
        difference = p - quality
        distance = tl.abs(difference)
        log_distance = tl.log(tl.where(distance > 0, distance, 1.0))
        power = tl.where(distance > 0, tl.exp(gamma * log_distance), 0.0)
        slope = gamma * power / tl.where(distance > 0, difference, 1.0) * p * sigmoid(-z)
        entropy = softplus(z) - quality * z
        loss = tl.where(positive, pos_weight * power * entropy, loss)
        slope = pos_weight * (power * difference + slope * entropy)
        gradient = tl.where(positive, slope, gradient)
    return loss, gradient


@triton.jit
def _load_quality(quality_ptr, plane, position, positions, HAS_QUALITY: tl.constexpr):
    quality = tl.zeros(position.shape, tl.float32)
    if HAS_QUALITY:
        sample = quality_ptr + plane * positions + position
        quality = tl.load(sample, mask=position < positions, other=0.0).to(tl.float32)
    return quality[:, None]


@triton.jit(do_not_specialize=["first_row", "num_rows"])
def forward_kernel(
    z_ptr,
    label_ptr,
    quality_ptr,
    gamma_ptr,
    pos_weight_ptr,
    neg_weight_ptr,
    sums_ptr,
    first_row,
    num_rows,
    positions,
    columns,
    position_stride,
    column_stride,
    plane_stride,
    TILES: tl.constexpr,
    HAS_QUALITY: tl.constexpr,
    POSITIONS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    blocks = tl.cdiv(positions, POSITIONS * TILES)
    plane = (tl.program_id(0) // blocks).to(tl.int64)
    block = tl.program_id(0) % blocks
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    gamma = tl.load(gamma_ptr + column, mask=column < columns, other=0.0)[None, :]
    pos_weight = tl.load(pos_weight_ptr + column, mask=column < columns, other=0.0)[None, :]
    neg_weight = tl.load(neg_weight_ptr + column, mask=column < columns, other=0.0)[None, :]
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
        quality = _load_quality(quality_ptr, plane, position, positions, HAS_QUALITY)
        positive = label[:, None] == column[None, :]
        loss, gradient = _entries(z, positive, quality, gamma, pos_weight, neg_weight, HAS_QUALITY)
        counts = inside & (label >= 0)[:, None]
        gradient = tl.abs(gradient)
        loss_sum += tl.sum(tl.where(counts, loss, 0.0), 0)
        pos_sum += tl.sum(tl.where(counts & positive, gradient, 0.0), 0)
        neg_sum += tl.sum(tl.where(counts & (positive == 0), gradient, 0.0), 0)
    row = first_row + tl.program_id(0)
    store_sums(sums_ptr, row, num_rows, column, columns, loss_sum, pos_sum, neg_sum)


@triton.jit
def backward_kernel(
    z_ptr,
    label_ptr,
    quality_ptr,
    gamma_ptr,
    pos_weight_ptr,
    neg_weight_ptr,
    grad_loss_ptr,
    gradient_ptr,
    positions,
    columns,
    position_stride,
    column_stride,
    plane_stride,
    HAS_QUALITY: tl.constexpr,
    POSITIONS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    blocks = tl.cdiv(positions, POSITIONS)
    plane = (tl.program_id(0) // blocks).to(tl.int64)
    position = (tl.program_id(0) % blocks) * POSITIONS + tl.arange(0, POSITIONS)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    gamma = tl.load(gamma_ptr + column, mask=column < columns, other=0.0)[None, :]
    pos_weight = tl.load(pos_weight_ptr + column, mask=column < columns, other=0.0)[None, :]
    neg_weight = tl.load(neg_weight_ptr + column, mask=column < columns, other=0.0)[None, :]
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
    quality = _load_quality(quality_ptr, plane, position, positions, HAS_QUALITY)
    positive = label[:, None] == column[None, :]
    _, gradient = _entries(z, positive, quality, gamma, pos_weight, neg_weight, HAS_QUALITY)
    # Scaled before it is rounded to half precision: a GradScaler's scale saves small values.
    gradient = tl.where((label >= 0)[:, None], gradient * tl.load(grad_loss_ptr), 0.0)
    tl.store(gradient_ptr + place, gradient.to(gradient_ptr.dtype.element_ty), mask=inside)


@torch.library.custom_op("eql_d2::class_focal_loss", mutates_args=())
def _forward(
    logits: list[Tensor],
    labels: list[Tensor],
    gamma: Tensor,
    pos_weight: Tensor,
    neg_weight: Tensor,
    quality: list[Tensor],
) -> tuple[Tensor, Tensor, Tensor]:
    tilings = [tiling(z) for z in logits]
    sums = partial_sums(tilings, 3, gamma)
    first_row = 0
    with torch.cuda.device_of(gamma):
        for i, (z, label, tiles) in enumerate(zip(logits, labels, tilings)):
            forward_kernel[tiles.grid(tiles.tiles)](
                z,
                label,
                quality[i] if quality else gamma,
                gamma,
                pos_weight,
                neg_weight,
                sums,
                first_row,
                sums.shape[1],
                tiles.positions,
                tiles.columns,
                *tiles.strides,
                TILES=tiles.tiles,
                HAS_QUALITY=bool(quality),
                POSITIONS=tiles.shape[0],
                COLUMNS=tiles.shape[1],
                num_warps=NUM_WARPS,
            )
            first_row += tiles.programs(tiles.tiles)
    loss, pos_grad, neg_grad = sums.sum(1, dtype=torch.float64)
    return loss.sum().float(), pos_grad.clone(), neg_grad.clone()


@_forward.register_fake
def _(logits, labels, gamma, pos_weight, neg_weight, quality):
    sums = gamma.new_empty(gamma.shape, dtype=torch.float64)
    return gamma.new_empty(()), sums, torch.empty_like(sums)


@torch.library.custom_op("eql_d2::class_focal_loss_backward", mutates_args=())
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
    with torch.cuda.device_of(gamma):
        for i, (z, label, gradient) in enumerate(zip(logits, labels, gradients)):
            tiles = tiling(z)
            backward_kernel[tiles.grid()](
                z,
                label,
                quality[i] if quality else gamma,
                gamma,
                pos_weight,
                neg_weight,
                grad_loss,
                gradient,
                tiles.positions,
                tiles.columns,
                *tiles.strides,
                HAS_QUALITY=bool(quality),
                POSITIONS=tiles.shape[0],
                COLUMNS=tiles.shape[1],
                num_warps=NUM_WARPS,
            )
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

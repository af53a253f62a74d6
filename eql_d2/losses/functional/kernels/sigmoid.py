"""Kernels of the weighted sigmoid cross entropy; the maths is in ``../sigmoid.py``."""

import triton
import triton.language as tl

from .sigmoids import sigmoid, softplus
from .tiles import (
    column_sums,
    load_columns,
    load_positions,
    load_tile,
    place_of_program,
    store_gradient,
    store_sums,
)


@triton.jit
def _load_neg_weight(neg_weight_ptr, group_ptr, label, column, columns, HAS_GROUPS: tl.constexpr):
    """Weight of a negative: of each column, or of each entry by the group of its row's label."""
    if HAS_GROUPS:
        group = tl.load(group_ptr + tl.maximum(label, 0))
        place = (group * columns)[:, None] + column[None, :]
        return tl.load(neg_weight_ptr + place, mask=(column < columns)[None, :], other=0.0)
    else:
        return load_columns(neg_weight_ptr, column, columns)


@triton.jit(do_not_specialize=["num_rows"])
def forward_kernel(
    z_ptr,
    label_ptr,
    pos_weight_ptr,
    neg_weight_ptr,
    group_ptr,
    row_weight_ptr,
    sums_ptr,
    num_rows,
    positions,
    columns,
    position_stride,
    column_stride,
    plane_stride,
    TILES: tl.constexpr,
    HAS_GROUPS: tl.constexpr,
    HAS_ROW_WEIGHT: tl.constexpr,
    POSITIONS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    plane, first, column = place_of_program(positions, POSITIONS * TILES, COLUMNS)
    z_ptr += plane * plane_stride
    label_ptr += plane * positions
    row_weight_ptr += plane * positions
    pos_weight = load_columns(pos_weight_ptr, column, columns)
    loss_sum = tl.zeros((COLUMNS,), tl.float32)
    pos_sum = tl.zeros((COLUMNS,), tl.float32)
    neg_sum = tl.zeros((COLUMNS,), tl.float32)
    for tile in range(TILES):
        position = first + tile * POSITIONS + tl.arange(0, POSITIONS)
        z, _, inside, label = load_tile(
            z_ptr, label_ptr, position, column, positions, columns, position_stride, column_stride
        )
        neg_weight = _load_neg_weight(neg_weight_ptr, group_ptr, label, column, columns, HAS_GROUPS)
        positive = label[:, None] == column[None, :]
        # A positive is a negative of the mirrored logit.
        u = tl.where(positive, -z, z)
        weight = tl.where(positive, pos_weight, neg_weight)
        if HAS_ROW_WEIGHT:
            weight *= load_positions(row_weight_ptr, position, positions)
        counts = inside & (label >= 0)[:, None]
        sums = column_sums(softplus(u) * weight, sigmoid(u) * weight, positive, counts)
        loss_sum += sums[0]
        pos_sum += sums[1]
        neg_sum += sums[2]
    row = tl.program_id(0)
    store_sums(sums_ptr, row, num_rows, column, columns, loss_sum, pos_sum, neg_sum)


@triton.jit
def backward_kernel(
    z_ptr,
    label_ptr,
    pos_weight_ptr,
    neg_weight_ptr,
    group_ptr,
    row_weight_ptr,
    grad_loss_ptr,
    gradient_ptr,
    positions,
    columns,
    position_stride,
    column_stride,
    plane_stride,
    HAS_GROUPS: tl.constexpr,
    HAS_ROW_WEIGHT: tl.constexpr,
    POSITIONS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    plane, first, column = place_of_program(positions, POSITIONS, COLUMNS)
    position = first + tl.arange(0, POSITIONS)
    z_ptr += plane * plane_stride
    gradient_ptr += plane * plane_stride
    label_ptr += plane * positions
    row_weight_ptr += plane * positions
    z, place, inside, label = load_tile(
        z_ptr, label_ptr, position, column, positions, columns, position_stride, column_stride
    )
    pos_weight = load_columns(pos_weight_ptr, column, columns)
    neg_weight = _load_neg_weight(neg_weight_ptr, group_ptr, label, column, columns, HAS_GROUPS)
    positive = label[:, None] == column[None, :]
    gradient = tl.where(positive, -sigmoid(-z) * pos_weight, sigmoid(z) * neg_weight)
    if HAS_ROW_WEIGHT:
        gradient *= load_positions(row_weight_ptr, position, positions)
    store_gradient(gradient_ptr, place, inside, gradient, label, tl.load(grad_loss_ptr))

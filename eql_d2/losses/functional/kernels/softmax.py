"""Kernels of the softmax cross entropy with margins; the maths is in ``../softmax.py``."""

import triton
import triton.language as tl

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
def rows_kernel(
    z_ptr,
    label_ptr,
    margin_ptr,
    log_sum_ptr,
    rest_ptr,
    positions,
    columns,
    position_stride,
    column_stride,
    plane_stride,
    POSITIONS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    """Of each row the logarithm of the sum of exponentials, and the share of all but the label."""
    plane, first, first_columns = place_of_program(positions, POSITIONS, COLUMNS)
    position = first + tl.arange(0, POSITIONS)
    z_ptr += plane * plane_stride
    label_ptr += plane * positions
    # The label's exponential is left out of the sum: the share of the others is no difference.
    largest = tl.full((POSITIONS,), float("-inf"), tl.float32)
    others = tl.zeros((POSITIONS,), tl.float32)
    at_label = tl.full((POSITIONS,), float("-inf"), tl.float32)
    for start in range(0, columns, COLUMNS):
        column = start + first_columns
        z, _, _, label = load_tile(
            z_ptr, label_ptr, position, column, positions, columns, position_stride, column_stride
        )
        z += load_columns(margin_ptr, column, columns)
        z = tl.where((column < columns)[None, :], z, float("-inf"))
        positive = label[:, None] == column[None, :]
        largest_yet = tl.maximum(largest, tl.max(z, 1))
        # Infinity minus infinity, where all columns so far are left out, would be no number.
        subtracted = tl.where(largest_yet == float("-inf"), 0.0, largest_yet)
        exponentials = tl.where(positive, 0.0, tl.exp(z - subtracted[:, None]))
        others = others * tl.exp(largest - subtracted) + tl.sum(exponentials, 1)
        at_label = tl.maximum(at_label, tl.max(tl.where(positive, z, float("-inf")), 1))
        largest = largest_yet
    of_label = tl.exp(at_label - largest)
    here = position < positions
    sample = plane * positions + position
    tl.store(log_sum_ptr + sample, largest + tl.log(others + of_label), mask=here)
    tl.store(rest_ptr + sample, others / (others + of_label), mask=here)


@triton.jit(do_not_specialize=["num_rows"])
def sums_kernel(
    z_ptr,
    label_ptr,
    margin_ptr,
    log_sum_ptr,
    rest_ptr,
    row_weight_ptr,
    sums_ptr,
    num_rows,
    positions,
    columns,
    position_stride,
    column_stride,
    plane_stride,
    TILES: tl.constexpr,
    HAS_ROW_WEIGHT: tl.constexpr,
    POSITIONS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    plane, first, column = place_of_program(positions, POSITIONS * TILES, COLUMNS)
    z_ptr += plane * plane_stride
    label_ptr += plane * positions
    log_sum_ptr += plane * positions
    rest_ptr += plane * positions
    row_weight_ptr += plane * positions
    margin = load_columns(margin_ptr, column, columns)
    loss_sum = tl.zeros((COLUMNS,), tl.float32)
    pos_sum = tl.zeros((COLUMNS,), tl.float32)
    neg_sum = tl.zeros((COLUMNS,), tl.float32)
    for tile in range(TILES):
        position = first + tile * POSITIONS + tl.arange(0, POSITIONS)
        z, _, inside, label = load_tile(
            z_ptr, label_ptr, position, column, positions, columns, position_stride, column_stride
        )
        neg_log = load_positions(log_sum_ptr, position, positions) - (z + margin)
        rest = load_positions(rest_ptr, position, positions)
        positive = label[:, None] == column[None, :]
        gradient = tl.where(positive, rest, tl.exp(-neg_log))
        counts = inside & (label >= 0)[:, None]
        loss = tl.where(positive, neg_log, 0.0)
        if HAS_ROW_WEIGHT:
            of_row = load_positions(row_weight_ptr, position, positions)
            loss *= of_row
            gradient *= of_row
        sums = column_sums(loss, gradient, positive, counts)
        loss_sum += sums[0]
        pos_sum += sums[1]
        neg_sum += sums[2]
    row = tl.program_id(0)
    store_sums(sums_ptr, row, num_rows, column, columns, loss_sum, pos_sum, neg_sum)


@triton.jit
def backward_kernel(
    z_ptr,
    label_ptr,
    margin_ptr,
    log_sum_ptr,
    rest_ptr,
    row_weight_ptr,
    scale_ptr,
    grad_loss_ptr,
    gradient_ptr,
    positions,
    columns,
    position_stride,
    column_stride,
    plane_stride,
    HAS_ROW_WEIGHT: tl.constexpr,
    POSITIONS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    plane, first, column = place_of_program(positions, POSITIONS, COLUMNS)
    position = first + tl.arange(0, POSITIONS)
    z_ptr += plane * plane_stride
    gradient_ptr += plane * plane_stride
    label_ptr += plane * positions
    z, place, inside, label = load_tile(
        z_ptr, label_ptr, position, column, positions, columns, position_stride, column_stride
    )
    log_sum = load_positions(log_sum_ptr + plane * positions, position, positions)
    rest = load_positions(rest_ptr + plane * positions, position, positions)
    p = tl.exp(z + load_columns(margin_ptr, column, columns) - log_sum)
    gradient = tl.where(label[:, None] == column[None, :], -rest, p)
    if HAS_ROW_WEIGHT:
        gradient *= load_positions(row_weight_ptr + plane * positions, position, positions)
    scale = tl.load(scale_ptr) * tl.load(grad_loss_ptr)
    store_gradient(gradient_ptr, place, inside, gradient, label, scale)

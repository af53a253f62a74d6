"""Kernels of the focal losses; the maths is in ``../focal.py``."""

import triton
import triton.language as tl

from .sigmoids import log1p, sigmoid, softplus
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
def _entries(z, positive, gamma, pos_weight, neg_weight):
    """Loss and derivative of a tile. A positive is a negative of the mirrored logit."""
    u = tl.where(positive, -z, z)
    shared = log1p(tl.exp(-tl.abs(u)))
    log_p = tl.minimum(u, 0.0) - shared
    neg_log = tl.maximum(u, 0.0) + shared
    # Not infinite: 0 times infinity would be no number.
    modulator = tl.exp(gamma * tl.maximum(log_p, -1e30)) * tl.where(
        positive, pos_weight, neg_weight
    )
    x = gamma * tl.minimum(neg_log, 80.0)
    gradient = modulator * ((1.0 - x) * sigmoid(u) + x)
    return modulator * neg_log, tl.where(positive, -gradient, gradient)


@triton.jit
def _quality_entries(z, quality, gamma, pos_weight):
    """The same of a tile whose entries are all positives with a quality."""
    p = sigmoid(z)
    difference = p - quality
    distance = tl.abs(difference)
    # Of a distance of 0 it is 0, or 1 where gamma is.
    power = tl.exp(gamma * tl.maximum(tl.log(distance), -1e30))
    slope = gamma * power / tl.where(distance > 0, difference, 1.0) * p * sigmoid(-z)
    # A quality of 0 has no part in it, however large the logit.
    entropy = softplus(z) - tl.where(quality == 0, 0.0, quality * z)
    # Where it is larger p (1 - p) is 0.
    gradient = power * difference + slope * tl.minimum(entropy, 1000.0)
    return pos_weight * power * entropy, pos_weight * gradient


@triton.jit(do_not_specialize=["first_row", "num_rows"])
def forward_kernel(
    z_ptr,
    label_ptr,
    quality_ptr,
    row_weight_ptr,
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
    HAS_ROW_WEIGHT: tl.constexpr,
    POSITIONS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    plane, first, column = place_of_program(positions, POSITIONS * TILES, COLUMNS)
    z_ptr += plane * plane_stride
    label_ptr += plane * positions
    quality_ptr += plane * positions
    row_weight_ptr += plane * positions
    gamma = load_columns(gamma_ptr, column, columns)
    pos_weight = load_columns(pos_weight_ptr, column, columns)
    neg_weight = load_columns(neg_weight_ptr, column, columns)
    loss_sum = tl.zeros((COLUMNS,), tl.float32)
    pos_sum = tl.zeros((COLUMNS,), tl.float32)
    neg_sum = tl.zeros((COLUMNS,), tl.float32)
    for tile in range(TILES):
        position = first + tile * POSITIONS + tl.arange(0, POSITIONS)
        z, _, inside, label = load_tile(
            z_ptr, label_ptr, position, column, positions, columns, position_stride, column_stride
        )
        positive = label[:, None] == column[None, :]
        loss, gradient = _entries(z, positive, gamma, pos_weight, neg_weight)
        if HAS_QUALITY:
            quality = load_positions(quality_ptr, position, positions)
            of_quality, slope = _quality_entries(z, quality, gamma, pos_weight)
            loss = tl.where(positive, of_quality, loss)
            gradient = tl.where(positive, slope, gradient)
        if HAS_ROW_WEIGHT:
            of_row = load_positions(row_weight_ptr, position, positions)
            loss *= of_row
            gradient *= of_row
        counts = inside & (label >= 0)[:, None]
        sums = column_sums(loss, tl.abs(gradient), positive, counts)
        loss_sum += sums[0]
        pos_sum += sums[1]
        neg_sum += sums[2]
    row = first_row + tl.program_id(0)
    store_sums(sums_ptr, row, num_rows, column, columns, loss_sum, pos_sum, neg_sum)


@triton.jit
def backward_kernel(
    z_ptr,
    label_ptr,
    quality_ptr,
    row_weight_ptr,
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
    HAS_ROW_WEIGHT: tl.constexpr,
    POSITIONS: tl.constexpr,
    COLUMNS: tl.constexpr,
):
    plane, first, column = place_of_program(positions, POSITIONS, COLUMNS)
    position = first + tl.arange(0, POSITIONS)
    z_ptr += plane * plane_stride
    gradient_ptr += plane * plane_stride
    label_ptr += plane * positions
    quality_ptr += plane * positions
    row_weight_ptr += plane * positions
    gamma = load_columns(gamma_ptr, column, columns)
    pos_weight = load_columns(pos_weight_ptr, column, columns)
    neg_weight = load_columns(neg_weight_ptr, column, columns)
    z, place, inside, label = load_tile(
        z_ptr, label_ptr, position, column, positions, columns, position_stride, column_stride
    )
    positive = label[:, None] == column[None, :]
    _, gradient = _entries(z, positive, gamma, pos_weight, neg_weight)
    if HAS_QUALITY:
        quality = load_positions(quality_ptr, position, positions)
        _, slope = _quality_entries(z, quality, gamma, pos_weight)
        gradient = tl.where(positive, slope, gradient)
    if HAS_ROW_WEIGHT:
        gradient *= load_positions(row_weight_ptr, position, positions)
    store_gradient(gradient_ptr, place, inside, gradient, label, tl.load(grad_loss_ptr))

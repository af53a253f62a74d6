"""Softmax cross entropy with a margin for each class, fused; the maths is in ``../softmax.py``."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from .. import dense
from ..planes import as_planes
from ..results import LossSums
from .tiles import NUM_WARPS, Tiling, load_tile, partial_sums, short_labels, store_sums, tiling


def softmax_cross_entropy(
    logits: Tensor, targets: Tensor, margin: Tensor, normalizer: float | Tensor = 1.0
) -> LossSums:
    """As the function of this name in ``../softmax.py``; soft labels take the dense form."""
    if targets.is_floating_point():
        return dense.softmax_cross_entropy(logits, targets, margin, normalizer)
    margin = margin.float().contiguous()
    scale = margin.new_ones(()) / normalizer
    z, label = as_planes(logits.contiguous(), short_labels(targets))
    loss, pos_grad, neg_grad, _, _ = _forward(z, label, margin, scale)
    return LossSums(loss, pos_grad.detach(), neg_grad.detach())


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
    blocks = tl.cdiv(positions, POSITIONS)
    plane = (tl.program_id(0) // blocks).to(tl.int64)
    position = (tl.program_id(0) % blocks) * POSITIONS + tl.arange(0, POSITIONS)
    # The label's exponential is left out of the sum: the share of the others is no difference.
    largest = tl.full((POSITIONS,), float("-inf"), tl.float32)
    others = tl.zeros((POSITIONS,), tl.float32)
    at_label = tl.full((POSITIONS,), float("-inf"), tl.float32)
    label = tl.zeros((POSITIONS,), tl.int32)
    for start in range(0, columns, COLUMNS):
        column = start + tl.arange(0, COLUMNS)
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
        margin = tl.load(margin_ptr + column, mask=column < columns, other=0.0)
        z = tl.where((column < columns)[None, :], z + margin[None, :], float("-inf"))
        positive = label[:, None] == column[None, :]
        largest_yet = tl.maximum(largest, tl.max(z, 1))
        exponentials = tl.where(positive, 0.0, tl.exp(z - largest_yet[:, None]))
        others = others * tl.exp(largest - largest_yet) + tl.sum(exponentials, 1)
        at_label = tl.maximum(at_label, tl.max(tl.where(positive, z, float("-inf")), 1))
        largest = largest_yet
    of_label = tl.exp(at_label - largest)
    here = position < positions
    sample = plane * positions + position
    tl.store(log_sum_ptr + sample, largest + tl.log(others + of_label), mask=here)
    tl.store(rest_ptr + sample, others / (others + of_label), mask=here)


@triton.jit
def _probabilities(
    z, label, margin_ptr, log_sum_ptr, rest_ptr, plane, position, column, positions, columns
):
    """Probability of each entry, what the label's lacks of 1, and -log of the first."""
    sample = plane * positions + position
    here = position < positions
    log_sum = tl.load(log_sum_ptr + sample, mask=here, other=0.0)[:, None]
    rest = tl.load(rest_ptr + sample, mask=here, other=0.0)[:, None]
    margin = tl.load(margin_ptr + column, mask=column < columns, other=0.0)[None, :]
    neg_log = log_sum - (z + margin)
    return tl.exp(-neg_log), rest, neg_log


@triton.jit(do_not_specialize=["num_rows"])
def sums_kernel(
    z_ptr,
    label_ptr,
    margin_ptr,
    log_sum_ptr,
    rest_ptr,
    sums_ptr,
    num_rows,
    positions,
    columns,
    position_stride,
    column_stride,
    plane_stride,
    TILES: tl.constexpr,
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
        p, rest, neg_log = _probabilities(
            z, label, margin_ptr, log_sum_ptr, rest_ptr, plane, position, column, positions, columns
        )
        positive = label[:, None] == column[None, :]
        counts = inside & (label >= 0)[:, None]
        loss_sum += tl.sum(tl.where(counts & positive, neg_log, 0.0), 0)
        pos_sum += tl.sum(tl.where(counts & positive, rest, 0.0), 0)
        neg_sum += tl.sum(tl.where(counts & (positive == 0), p, 0.0), 0)
    row = tl.program_id(0)
    store_sums(sums_ptr, row, num_rows, column, columns, loss_sum, pos_sum, neg_sum)


@triton.jit
def backward_kernel(
    z_ptr,
    label_ptr,
    margin_ptr,
    log_sum_ptr,
    rest_ptr,
    scale_ptr,
    grad_loss_ptr,
    gradient_ptr,
    positions,
    columns,
    position_stride,
    column_stride,
    plane_stride,
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
    p, rest, _ = _probabilities(
        z, label, margin_ptr, log_sum_ptr, rest_ptr, plane, position, column, positions, columns
    )
    gradient = tl.where(label[:, None] == column[None, :], -rest, p)
    # Scaled before it is rounded to half precision: a GradScaler's scale saves small values.
    scale = tl.load(scale_ptr) * tl.load(grad_loss_ptr)
    gradient = tl.where((label >= 0)[:, None], gradient * scale, 0.0)
    tl.store(gradient_ptr + place, gradient.to(gradient_ptr.dtype.element_ty), mask=inside)


def _row_tiling(tiles: Tiling) -> Tiling:
    """Of programs that go through all columns: few rows side by side, or many positions."""
    return tiles._replace(shape=(8, 512) if tiles.column_stride == 1 else (128, 32))


@torch.library.custom_op("eql_d2::softmax_cross_entropy", mutates_args=())
def _forward(
    z: Tensor, label: Tensor, margin: Tensor, scale: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    tiles = tiling(z)
    rows = _row_tiling(tiles)
    log_sum = margin.new_empty(label.shape)
    rest = torch.empty_like(log_sum)
    sums = partial_sums([tiles], 3, margin)
    with torch.cuda.device_of(z):
        rows_kernel[(rows.programs(),)](
            z,
            label,
            margin,
            log_sum,
            rest,
            rows.positions,
            rows.columns,
            *rows.strides,
            POSITIONS=rows.shape[0],
            COLUMNS=rows.shape[1],
            num_warps=NUM_WARPS,
        )
        sums_kernel[tiles.grid(tiles.tiles)](
            z,
            label,
            margin,
            log_sum,
            rest,
            sums,
            sums.shape[1],
            tiles.positions,
            tiles.columns,
            *tiles.strides,
            TILES=tiles.tiles,
            POSITIONS=tiles.shape[0],
            COLUMNS=tiles.shape[1],
            num_warps=NUM_WARPS,
        )
    loss, pos_grad, neg_grad = (sums.sum(1, dtype=torch.float64) * scale).float()
    return loss.sum(), pos_grad.clone(), neg_grad.clone(), log_sum, rest


@_forward.register_fake
def _(z, label, margin, scale):
    rows = margin.new_empty(label.shape)
    sums = torch.empty_like(margin), torch.empty_like(margin)
    return margin.new_empty(()), *sums, rows, torch.empty_like(rows)


@torch.library.custom_op("eql_d2::softmax_cross_entropy_backward", mutates_args=())
def _backward(
    grad_loss: Tensor,
    z: Tensor,
    label: Tensor,
    margin: Tensor,
    scale: Tensor,
    log_sum: Tensor,
    rest: Tensor,
) -> Tensor:
    gradient, tiles = torch.empty_like(z), tiling(z)
    with torch.cuda.device_of(z):
        backward_kernel[tiles.grid()](
            z,
            label,
            margin,
            log_sum,
            rest,
            scale,
            grad_loss,
            gradient,
            tiles.positions,
            tiles.columns,
            *tiles.strides,
            POSITIONS=tiles.shape[0],
            COLUMNS=tiles.shape[1],
            num_warps=NUM_WARPS,
        )
    return gradient


@_backward.register_fake
def _(grad_loss, z, label, margin, scale, log_sum, rest):
    return torch.empty_like(z)


def _setup_context(ctx, inputs, output):
    ctx.save_for_backward(*inputs, *output[3:])


def _differentiate(ctx, grad_loss, *_):
    return _backward(grad_loss, *ctx.saved_tensors), None, None, None


_forward.register_autograd(_differentiate, setup_context=_setup_context)

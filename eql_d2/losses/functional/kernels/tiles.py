"""What the kernels share: where a program is, how a tile is read, and what is written."""

import triton
import triton.language as tl


@triton.jit
def place_of_program(positions, POSITIONS: tl.constexpr, COLUMNS: tl.constexpr):
    """Plane, first position and columns of a program that has so many of them."""
    blocks = tl.cdiv(positions, POSITIONS)
    plane = (tl.program_id(0) // blocks).to(tl.int64)
    first = (tl.program_id(0) % blocks) * POSITIONS
    return plane, first, tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)


@triton.jit
def load_columns(values_ptr, column, columns):
    """A value of each column, 0 outside, (1, columns)."""
    return tl.load(values_ptr + column, mask=column < columns, other=0.0)[None, :]


@triton.jit
def load_positions(values_ptr, position, positions):
    """A value of each position in float32, 0 outside, (positions, 1)."""
    values = tl.load(values_ptr + position, mask=position < positions, other=0.0)
    return values.to(tl.float32)[:, None]


@triton.jit
def load_tile(
    z_ptr, label_ptr, position, column, positions, columns, position_stride, column_stride
):
    """Logits of a tile in float32, their places, which are inside, and labels, -1 outside."""
    here = position < positions
    label = tl.load(label_ptr + position, mask=here, other=-1)
    place = (position.to(tl.int64) * position_stride)[:, None]
    place += (column.to(tl.int64) * column_stride)[None, :]
    inside = here[:, None] & (column < columns)[None, :]
    z = tl.load(z_ptr + place, mask=inside, other=0.0).to(tl.float32)
    return z, place, inside, label


@triton.jit
def column_sums(loss, gradient, positive, counts):
    """Sums over the rows of a tile that count: loss, gradient at the labels, and elsewhere."""
    gradient = tl.where(counts, gradient, 0.0)
    pos_sum = tl.sum(tl.where(positive, gradient, 0.0), 0)
    neg_sum = tl.sum(tl.where(positive, 0.0, gradient), 0)
    return tl.sum(tl.where(counts, loss, 0.0), 0), pos_sum, neg_sum


@triton.jit
def store_sums(sums_ptr, row, num_rows, column, columns, first, second, third):
    """Write three partial sums of a program into its row. ``num_rows`` must not be specialized: 1
    would be a number of Python, without ``to``."""
    place = sums_ptr + row.to(tl.int64) * columns + column
    size = num_rows.to(tl.int64) * columns
    tl.store(place, first, mask=column < columns)
    tl.store(place + size, second, mask=column < columns)
    tl.store(place + 2 * size, third, mask=column < columns)


@triton.jit
def store_gradient(gradient_ptr, place, inside, gradient, label, scale):
    """Write the gradient of a tile, 0 where the label is ignored. It is scaled before it is rounded
    to half precision: a GradScaler's scale saves small values."""
    gradient = tl.where((label >= 0)[:, None], gradient * scale, 0.0)
    tl.store(gradient_ptr + place, gradient.to(gradient_ptr.dtype.element_ty), mask=inside)

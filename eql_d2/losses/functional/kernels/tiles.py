"""How planes (P, C, S) are cut into tiles, and what the kernels share."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

# Of a program
NUM_WARPS = 8
# A program adds up as many tiles as leave this number of programs, which fill a GPU, and not more
# than this number of tiles.
_ENOUGH_PROGRAMS, _MOST_TILES = 256, 32


class Tiling(NamedTuple):
    """Tiles and strides of contiguous planes; rows (R, C, 1) are one plane of another order.

    Attributes:
        planes: number of planes.
        positions: rows or positions of a plane.
        columns: C.
        position_stride, column_stride, plane_stride: of the logits, in entries.
        shape: rows or positions, and columns, of a tile.
        tiles: that a program of the forward pass adds up, one below the other.
    """

    planes: int
    positions: int
    columns: int
    position_stride: int
    column_stride: int
    plane_stride: int
    shape: tuple[int, int]
    tiles: int

    @property
    def strides(self) -> tuple[int, int, int]:
        return self.position_stride, self.column_stride, self.plane_stride

    def programs(self, tiles: int = 1) -> int:
        """Programs that together have all positions of all planes."""
        return self.planes * triton.cdiv(self.positions, self.shape[0] * tiles)

    def grid(self, tiles: int = 1) -> tuple[int, int]:
        return self.programs(tiles), triton.cdiv(self.columns, self.shape[1])


def tiling(planes: Tensor) -> Tiling:
    """Tiles of contiguous planes (P, C, S): wide ones of rows, square ones of maps."""
    number, columns, positions = planes.shape
    if positions == 1:
        number, positions, strides, shape = 1, number, (columns, 1, 0), (16, 128)
    else:
        strides, shape = (1, positions, columns * positions), (64, 32)
    single = Tiling(number, positions, columns, *strides, shape, 1)
    blocks, column_blocks = single.grid()
    tiles = blocks * column_blocks // _ENOUGH_PROGRAMS
    return single._replace(tiles=min(_MOST_TILES, max(1, tiles)))


def short_labels(labels: Tensor) -> Tensor:
    """As int32: each program reads those of its rows or positions."""
    return labels.to(torch.int32).contiguous()


def partial_sums(tilings: Sequence[Tiling], kinds: int, like: Tensor) -> Tensor:
    """Float32 (kinds, programs, C), a row for each program of all tilings, to be written."""
    programs = sum(tiles.programs(tiles.tiles) for tiles in tilings)
    return like.new_empty((kinds, programs, tilings[0].columns), dtype=torch.float32)


@triton.jit
def log1p(x):
    """log(1 + x) for 0 <= x <= 1 without loss of digits."""
    u = 1.0 + x
    return tl.where(u == 1.0, x, tl.log(u) * (x / tl.where(u == 1.0, 1.0, u - 1.0)))


@triton.jit
def softplus(z):
    return tl.maximum(z, 0.0) + log1p(tl.exp(-tl.abs(z)))


@triton.jit
def sigmoid(z):
    """Of any logit without overflow, and without loss of digits where it is small."""
    e = tl.exp(-tl.abs(z))
    return tl.where(z >= 0, 1.0, e) / (1.0 + e)


@triton.jit
def load_tile(
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
):
    """Logits of a tile in float32, their places, which are inside, and labels, -1 outside."""
    here = position < positions
    label = tl.load(label_ptr + plane * positions + position, mask=here, other=-1)
    rows = plane * plane_stride + position.to(tl.int64) * position_stride
    place = rows[:, None] + (column.to(tl.int64) * column_stride)[None, :]
    inside = here[:, None] & (column < columns)[None, :]
    z = tl.load(z_ptr + place, mask=inside, other=0.0).to(tl.float32)
    return z, place, inside, label


@triton.jit
def store_sums(sums_ptr, row, num_rows, column, columns, first, second, third):
    """Write three partial sums of a program into its row. ``num_rows`` must not be specialized: 1
    would be a number of Python, without ``to``."""
    place = sums_ptr + row.to(tl.int64) * columns + column
    size = num_rows.to(tl.int64) * columns
    tl.store(place, first, mask=column < columns)
    tl.store(place + size, second, mask=column < columns)
    tl.store(place + 2 * size, third, mask=column < columns)

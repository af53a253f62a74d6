"""How planes (P, C, S) are cut into tiles, and how a kernel is launched on them."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import triton
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

    def programs(self, tiles: int = 1) -> int:
        """Programs that together have all positions of all planes."""
        return self.planes * triton.cdiv(self.positions, self.shape[0] * tiles)

    def launch(self, kernel: triton.JITFunction, *arguments: Tensor | int, **constants) -> None:
        """Start a kernel with a program for each tile, or as many as ``TILES`` says.

        Args:
            kernel: takes the arguments, then positions, columns and strides.
            *arguments: tensors on one device, and numbers.
            **constants: of the kernel, besides the shape of a tile.
        """
        column_blocks = triton.cdiv(self.columns, self.shape[1])
        grid = self.programs(constants.get("TILES", 1)), column_blocks
        with torch.cuda.device_of(arguments[0]):
            self._launch(kernel, grid, arguments, constants)

    def launch_on_rows(self, kernel: triton.JITFunction, *arguments: Tensor) -> None:
        """:meth:`launch` with programs that go through all columns."""
        with torch.cuda.device_of(arguments[0]):
            self._launch(kernel, (self.programs(),), arguments, {})

    def _launch(self, kernel, grid, arguments, constants) -> None:
        kernel[grid](
            *arguments,
            self.positions,
            self.columns,
            self.position_stride,
            self.column_stride,
            self.plane_stride,
            POSITIONS=self.shape[0],
            COLUMNS=self.shape[1],
            num_warps=NUM_WARPS,
            **constants,
        )


def tiling(planes: Tensor) -> Tiling:
    """Tiles of contiguous planes (P, C, S): wide ones of rows, high ones of maps."""
    number, columns, positions = planes.shape
    if positions == 1:
        number, positions, strides, shape = 1, number, (columns, 1, 0), (16, 128)
    else:
        strides, shape = (1, positions, columns * positions), (64, 32)
    single = Tiling(number, positions, columns, *strides, shape, 1)
    tiles = single.programs() * triton.cdiv(columns, shape[1]) // _ENOUGH_PROGRAMS
    return single._replace(tiles=min(_MOST_TILES, max(1, tiles)))


def row_tiling(planes: Tensor) -> Tiling:
    """Tiles of programs that go through all columns: few rows, or many positions."""
    tiles = tiling(planes)
    return tiles._replace(shape=(8, 512) if tiles.column_stride == 1 else (128, 32))


def short_labels(labels: Tensor) -> Tensor:
    """As int32: each program reads those of its rows or positions."""
    return labels.to(torch.int32).contiguous()


def partial_sums(tilings: Sequence[Tiling], like: Tensor) -> Tensor:
    """Float32 (3, programs, C), a row for each program of all tilings, to be written."""
    programs = sum(tiles.programs(tiles.tiles) for tiles in tilings)
    return like.new_empty((3, programs, tilings[0].columns), dtype=torch.float32)

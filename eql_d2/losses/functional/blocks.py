"""Logits cut into blocks that stay in a cache: rows as they are, and maps as they are."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

# Elements of one block. Small enough for its few temporaries to stay in a cache of a CPU; not
# smaller, since each operation wakes all threads, which is dear where the cores are busy. On other
# devices the blocks only bound the extra memory.
_BLOCK_ELEMENTS = {"cpu": 2**19}
_DEFAULT_BLOCK_ELEMENTS = 2**24


class Block(NamedTuple):
    """A part of the logits, with the same part of what belongs to them.

    Attributes:
        logits: (b, K) of rows, (K, b) of a map.
        targets: int64 (b,), or soft labels of the shape of ``logits``.
        gradient: of the shape of ``logits``, a view to write to.
        class_dim: dimension of the K columns, 1 of rows and 0 of a map.
    """

    logits: Tensor
    targets: Tensor
    gradient: Tensor
    class_dim: int


def block_elements(device: torch.device) -> int:
    """Largest number of elements of a block on a device."""
    return _BLOCK_ELEMENTS.get(device.type, _DEFAULT_BLOCK_ELEMENTS)


def iterate_blocks(logits: Tensor, targets: Tensor, gradient: Tensor) -> Iterator[Block]:
    """Cut rows (R, K), or maps (N, K, ...) image by image, into blocks of all columns.

    Args:
        logits: (R, K) or (N, K, ...).
        targets: int64 (R,) or (N, ...), or soft labels of the shape of ``logits``.
        gradient: contiguous, of the shape of ``logits``.
    """
    step = max(1, block_elements(logits.device) // max(1, logits.shape[1]))
    if logits.dim() == 2:
        for start in range(0, logits.shape[0], step):
            part = slice(start, start + step)
            yield Block(logits[part], targets[part], gradient[part], 1)
        return
    positions = targets.dim() - logits.dim() + 2
    logits, targets, gradient = logits.flatten(2), targets.flatten(positions), gradient.flatten(2)
    for image in range(logits.shape[0]):
        for start in range(0, logits.shape[2], step):
            part = slice(start, start + step)
            yield Block(
                logits[image, :, part], targets[image][..., part], gradient[image, :, part], 0
            )


def iterate_planes(shape: torch.Size, device: torch.device) -> Iterator[tuple[slice, slice]]:
    """Cut (P, C, S) into blocks: some planes with all columns, or some columns of one plane."""
    planes, columns, positions = shape
    elements = block_elements(device)
    column_step = max(1, min(columns, elements // max(1, positions)))
    plane_step = max(1, elements // max(1, columns * positions))
    for plane in range(0, planes, plane_step):
        for first in range(0, columns, column_step):
            yield slice(plane, plane + plane_step), slice(first, first + column_step)

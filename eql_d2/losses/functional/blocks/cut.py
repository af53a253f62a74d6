"""Logits cut into blocks that stay in a cache: rows as they are, and maps as they are."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

# Elements of all temporaries of a block together. Few enough to stay in a cache of a CPU; not
# fewer, since each operation wakes all threads, which is dear where the cores are busy. On other
# devices the blocks only bound the extra memory.
_ELEMENTS = {"cpu": 2**22}
_DEFAULT_ELEMENTS = 2**27


class Block(NamedTuple):
    """A part of the logits, with the same part of what belongs to them.

    Attributes:
        logits: (b, K) of rows, (K, b) of a map.
        targets: int64 (b,), or soft labels of the shape of ``logits``.
        gradient: of the shape of ``logits``, a view to write to.
        class_dim: dimension of the K columns, 1 of rows and 0 of a map.
        row_weight: broadcastable to ``logits``, if there is one.
    """

    logits: Tensor
    targets: Tensor
    gradient: Tensor
    class_dim: int
    row_weight: Tensor | None = None


def block_elements(device: torch.device, num_temporaries: int) -> int:
    """Largest number of elements of a block.

    Args:
        device: of the logits.
        num_temporaries: of the size of a block that a function needs at once, about.
    """
    return _ELEMENTS.get(device.type, _DEFAULT_ELEMENTS) // num_temporaries


def iterate_blocks(
    logits: Tensor,
    targets: Tensor,
    gradient: Tensor,
    num_temporaries: int,
    row_weight: Tensor | None = None,
) -> Iterator[Block]:
    """Cut rows (R, K), or maps (N, K, ...) image by image, into blocks of all columns.

    Args:
        logits: (R, K) or (N, K, ...).
        targets: int64 (R,) or (N, ...), or soft labels of the shape of ``logits``.
        gradient: contiguous, of the shape of ``logits``.
        num_temporaries: see :func:`block_elements`.
        row_weight: (R,) or (N, ...).
    """
    step = max(1, block_elements(logits.device, num_temporaries) // max(1, logits.shape[1]))
    if logits.dim() == 2:
        for start in range(0, logits.shape[0], step):
            part = slice(start, start + step)
            weight = None if row_weight is None else row_weight[part, None]
            yield Block(logits[part], targets[part], gradient[part], 1, weight)
        return
    positions = targets.dim() - logits.dim() + 2
    logits, targets, gradient = logits.flatten(2), targets.flatten(positions), gradient.flatten(2)
    for image in range(logits.shape[0]):
        for start in range(0, logits.shape[2], step):
            part = slice(start, start + step)
            weight = None if row_weight is None else row_weight[image].flatten()[None, part]
            yield Block(
                logits[image, :, part],
                targets[image][..., part],
                gradient[image, :, part],
                0,
                weight,
            )


def iterate_planes(
    shape: torch.Size, device: torch.device, num_temporaries: int
) -> Iterator[tuple[slice, slice]]:
    """Cut (P, C, S) into blocks: some planes with all columns, or some columns of one plane."""
    planes, columns, positions = shape
    elements = block_elements(device, num_temporaries)
    column_step = max(1, min(columns, elements // max(1, positions)))
    plane_step = max(1, elements // max(1, columns * positions))
    for plane in range(0, planes, plane_step):
        for first in range(0, columns, column_step):
            yield slice(plane, plane + plane_step), slice(first, first + column_step)

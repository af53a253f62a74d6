"""Logits cut into blocks that stay in a cache: rows as they are, and maps as they are."""

from collections.abc import Iterator
from typing import NamedTuple

from torch import Tensor


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


def iterate_blocks(
    logits: Tensor, targets: Tensor, gradient: Tensor, num_elements: int
) -> Iterator[Block]:
    """Cut rows (R, K), or maps (N, K, ...) image by image, into blocks.

    Args:
        logits: (R, K) or (N, K, ...).
        targets: int64 (R,) or (N, ...), or soft labels of the shape of ``logits``.
        gradient: contiguous, of the shape of ``logits``.
        num_elements: largest number of elements of a block (it has one row at least).
    """
    step = max(1, num_elements // max(1, logits.shape[1]))
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

"""Run-length encoded masks as flat arrays: checked without decoding a mask.

pycocotools decodes into a buffer of the claimed size, and computes areas and overlaps of nonsense
without a word; here all masks of a file are looked at together.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .flat import flatten

# A count has at most this many characters of 5 bits: more overflow 64 bits.
_MOST_CHARACTERS = 12
# Keeps the sums below 64 bits; no image comes near it.
_LARGEST_COUNT = 2**40
# Masks that are read together: their arrays fit the caches.
_CHUNK = 2000


class RunLengths(NamedTuple):
    """Of N masks.

    Attributes:
        is_valid: bool (N,), whether the counts can be read and none is negative.
        num_pixels: int64 (N,), sum of the counts: the pixels of the image.
        area: int64 (N,), pixels of the mask.
    """

    is_valid: np.ndarray
    num_pixels: np.ndarray
    area: np.ndarray


def read_counts(counts: Sequence[Any]) -> RunLengths:
    """Read what the masks have as "counts": a compressed string, or a list of integers."""
    is_text = np.fromiter((type(value) is str for value in counts), bool, len(counts))
    result = RunLengths(*(np.zeros(len(counts), dtype) for dtype in (bool, np.int64, np.int64)))
    for indices, read in (
        (np.flatnonzero(is_text), _from_texts),
        (np.flatnonzero(~is_text), _from_lists),
    ):
        for start in range(0, len(indices), _CHUNK):
            chunk = indices[start : start + _CHUNK]
            for whole, part in zip(result, read([counts[i] for i in chunk])):
                whole[chunk] = part
    return result


def _from_lists(lists: Sequence[Any]) -> RunLengths:
    flat = flatten(lists)
    values, owner = flat.values, flat.owners
    bad = ~((values >= 0) & (values < _LARGEST_COUNT) & (values == np.floor(values)))
    values = np.where(bad, 0, values).astype(np.int64)
    is_valid = flat.are_numbers & ~flat.where_any(bad)
    return _sum_up(values, owner, _places(flat.lengths), is_valid)


def _from_texts(texts: Sequence[str]) -> RunLengths:
    """COCO's compression: 5 bits a character and whether more follow, the lowest bits first; from
    the fourth count on the difference to the count before the last."""
    encoded = [text.encode("utf-8", "replace") for text in texts]
    sizes = np.fromiter(map(len, encoded), np.int64, len(encoded))
    characters = np.frombuffer(b"".join(encoded), np.uint8).astype(np.int64) - 48
    owner = np.repeat(np.arange(len(texts)), sizes)
    bad = (characters < 0) | (characters > 63)
    ends = (characters & 32) == 0
    last = np.cumsum(sizes) - 1
    is_valid = np.ones(len(texts), dtype=bool)
    is_valid[sizes > 0] = ends[last[sizes > 0]]  # otherwise cut off
    ends[last[sizes > 0]] = True

    starts = np.concatenate([[True], ends[:-1]]) if len(ends) else ends
    starts = np.flatnonzero(starts)
    length = np.diff(np.append(starts, len(characters)))
    position = np.arange(len(characters)) - np.repeat(starts, length)
    bad |= position >= _MOST_CHARACTERS
    is_valid[owner[bad]] = False
    position = np.minimum(position, _MOST_CHARACTERS - 1)
    values = np.zeros(len(starts), dtype=np.int64)
    if len(starts):
        values = np.add.reduceat((characters & 31) << (5 * position), starts)
    final = characters[starts + length - 1]
    bits = 5 * np.minimum(length, _MOST_CHARACTERS)
    values = np.where(final & 16, values - (np.int64(1) << bits), values)

    owner = owner[starts]
    place = _places(np.bincount(owner, minlength=len(texts)))
    # Undo the differences along the even and along the odd places; the first count stands alone.
    counts = values.copy()
    for parity in (0, 1):
        of_chain = (place % 2 == parity) & (place > 0)
        sums = np.cumsum(np.where(of_chain, values, 0))
        before = np.repeat(
            sums[place == 0], np.diff(np.append(np.flatnonzero(place == 0), len(place)))
        )
        counts = np.where(of_chain, sums - before, counts)
    bad = (counts < 0) | (counts >= _LARGEST_COUNT)
    is_valid[owner[bad]] = False
    return _sum_up(np.where(bad, 0, counts), owner, place, is_valid)


def _places(lengths: np.ndarray) -> np.ndarray:
    """Place of each value in its list."""
    return np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)


def _sum_up(
    counts: np.ndarray, owner: np.ndarray, place: np.ndarray, is_valid: np.ndarray
) -> RunLengths:
    # In float64, which is exact for sums of counts of an image
    num_pixels = np.bincount(owner, counts, minlength=len(is_valid))
    area = np.bincount(owner, counts * (place % 2), minlength=len(is_valid))
    return RunLengths(is_valid, num_pixels.astype(np.int64), area.astype(np.int64))

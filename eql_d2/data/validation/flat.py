"""Lists of lists of numbers, of a parsed JSON file, as flat arrays: checks at NumPy's speed."""

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

_NUMBERS = frozenset({int, float})  # not bool
_LARGEST_INT = 2**63


class FlatLists(NamedTuple):
    """N lists behind each other; one that is no list of numbers counts as empty.

    Attributes:
        values: float64 (sum of lengths,).
        lengths: int64 (N,).
        are_numbers: bool (N,), whether each was a list of numbers.
    """

    values: np.ndarray
    lengths: np.ndarray
    are_numbers: np.ndarray

    @property
    def owners(self) -> np.ndarray:
        """Index of the list of each value, int64 (sum of lengths,)."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)

    def where_any(self, of_values: np.ndarray) -> np.ndarray:
        """bool (N,), whether any value of each list is marked by `of_values`, bool."""
        found = np.zeros(len(self.lengths), dtype=bool)
        found[self.owners[of_values]] = True
        return found


def flatten(lists: Sequence[Any]) -> FlatLists:
    """Flatten what should be lists of numbers."""
    are_numbers = np.fromiter(map(_is_list_of_numbers, lists), bool, len(lists))
    kept = lists
    if not are_numbers.all():
        kept = [list_ if good else () for list_, good in zip(lists, are_numbers)]
    lengths = np.fromiter(map(len, kept), np.int64, len(kept))
    try:
        values = itertools.chain.from_iterable(kept)
        return FlatLists(np.fromiter(values, np.float64, lengths.sum()), lengths, are_numbers)
    except OverflowError:  # an int above the largest float
        return flatten([list_ if all(map(is_number, list_)) else None for list_ in kept])


def numbers(values: Sequence[Any]) -> np.ndarray:
    """float64 (N,): nan for what is no number."""
    if _NUMBERS.issuperset(map(type, values)):
        try:
            return np.fromiter(values, np.float64, len(values))
        except OverflowError:  # an int above the largest float
            pass
    return np.array([value if is_number(value) else np.nan for value in values], dtype=np.float64)


def are_integers(values: Sequence[Any]) -> bool:
    """Whether :func:`is_integer` holds of all, in a fraction of its time."""
    if not {int}.issuperset(map(type, values)):
        return False
    return not values or (-_LARGEST_INT < min(values) and max(values) < _LARGEST_INT)


def is_number(value: Any) -> bool:
    """Whether the value of a JSON file is a number; it may be nan or infinite."""
    return type(value) is float or is_integer(value)


def is_integer(value: Any) -> bool:
    """Whether the value of a JSON file is an integer of 64 bits."""
    return type(value) is int and -_LARGEST_INT < value < _LARGEST_INT


def _is_list_of_numbers(value: Any) -> bool:
    return type(value) is list and _NUMBERS.issuperset(map(type, value))

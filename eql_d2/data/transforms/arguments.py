"""What constructors of augmentations ask of their arguments."""

from collections.abc import Callable
from typing import Any

from ...exceptions import InputError
from ...messages import shown


def check_argument(name: str, value: object, holds: Callable[[Any], bool], fix: str) -> None:
    """Refuse a value of an argument.

    Args:
        name: of the argument, and the key of a config that sets it.
        value: of any type.
        holds: whether it is right; a value that cannot be compared, or not be taken apart, is not.
        fix: what to give.

    Raises:
        InputError: the value is not right.
    """
    try:
        is_right = holds(value)
    except (TypeError, ValueError, OverflowError):
        is_right = False
    if not is_right:
        raise InputError(f"{name} is {shown(value)}: give {fix}")


def is_range(value: Any) -> bool:
    """Whether it is two finite numbers above 0, of which the second is not smaller."""
    low, high = value
    return 0 < low <= high < float("inf")

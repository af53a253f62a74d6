"""What constructors of losses ask of their arguments before they compare them."""

import math
from numbers import Real


def is_number(value: object) -> bool:
    """Whether a value is a finite real number, which a comparison alone does not tell: NaN is
    neither below nor above a bound, and a text raises a TypeError."""
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)

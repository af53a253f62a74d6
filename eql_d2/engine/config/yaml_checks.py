"""Guards against a run that a wrong value in its config ends late, or lets end as nonsense.

All values are looked at before data or weights are, and all problems are said at once.
"""

import math
from collections.abc import Iterator

from detectron2.config import CfgNode

from ...config import default_config, leaves
from ...exceptions import InputError
from ...messages import shown
from .combinations import COMBINATIONS
from .keys import is_read
from .rules import RULES

_DEFAULTS = dict(leaves(default_config()))


def check_yaml(cfg: CfgNode, training: bool) -> None:
    """Check the values of a yaml config and that its data and its output folder can be there.

    Args:
        cfg: whole, before its own data are registered.
        training: whether the run trains; keys that only training reads are left alone otherwise.

    Raises:
        InputError: a line for each problem.
    """
    wrong = {
        key: problem
        for key, value in leaves(cfg)
        if is_read(cfg, key, training) and (problem := _problem_of(key, value))
    }
    problems = list(wrong.values())
    for check, keys in COMBINATIONS:
        if not any(bad.startswith(key) for bad in wrong for key in keys):
            problems += check(cfg, training)
    if problems:
        raise InputError(*problems)


def _problem_of(key: str, value: object) -> str | None:
    if key in RULES:
        return RULES[key].problem(key, value)
    default = _DEFAULTS.get(key)
    if value is None and default is not None:
        return f"{key} is None: give a value, for example {shown(default)}"
    if not all(map(math.isfinite, _floats(value))):
        return f"{key} is {shown(value)}: give finite numbers, for example {shown(default)}"
    return None


def _floats(value: object, depth: int = 3) -> Iterator[float]:
    """Down to a depth that no key needs: by YAML's aliases a value can be endless."""
    if isinstance(value, float):
        yield value
    elif isinstance(value, (list, tuple)) and depth:
        for item in value:
            yield from _floats(item, depth - 1)

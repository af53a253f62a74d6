"""What a value of STUDY.yaml must be; everything else is one line that says so."""

from collections.abc import Collection
from typing import Any

import yaml

from ..exceptions import InputError

_SEEDS = 2**32  # NumPy takes none above
_MERGE = "tag:yaml.org,2002:merge"


class UniqueKeyLoader(yaml.SafeLoader):
    """YAML that refuses a key that is there twice, of which PyYAML drops the first."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value if key.tag != _MERGE]
        for key in keys:
            if keys.count(key) > 1:
                line = node.start_mark.line + 1
                raise InputError(f"{key!r} is there twice in the mapping of line {line}: keep one")
        return super().construct_mapping(node, deep)


def checked_mapping(value: Any, where: str, known: Collection[str] | None = None) -> dict:
    """The value, or {} for None.

    Args:
        value: of the file.
        where: its place there.
        known: the keys that there are; None for any.

    Raises:
        InputError: it is no mapping or has another key.
    """
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InputError(f"{where} is {value!r}: give a mapping of keys and values")
    for key in value:
        if known is not None and key not in known:
            raise InputError(f"{where} has the unknown key {key!r}: it may have {listed(known)}")
    return value


def checked_list(value: Any, where: str) -> list:
    """The value; InputError if it is no list."""
    if not isinstance(value, list):
        raise InputError(f"{where} is {value!r}: give a list")
    return value


def checked_seeds(value: Any) -> tuple[int, ...]:
    """The value as seeds; InputError if there is none, one twice, or one NumPy does not take."""
    seeds = checked_list(value, "seeds")
    for seed in seeds:
        if type(seed) is not int or not 0 <= seed < _SEEDS:
            raise InputError(f"seed {seed!r} is none: give an integer from 0 to {_SEEDS - 1}")
        if seeds.count(seed) > 1:
            raise InputError(f"seed {seed} is there twice in seeds: give each once")
    if not seeds:
        raise InputError("seeds is empty: give one or more")
    return tuple(seeds)


def checked_count(value: Any, where: str) -> int:
    """The value; InputError if it is no integer of 1 or more."""
    if type(value) is not int or value < 1:
        raise InputError(f"{where} is {value!r}: give an integer of 1 or more")
    return value


def listed(names: Collection) -> str:
    """The names with commas between them."""
    return ", ".join(map(str, names))

"""The keys of a yaml config."""

import functools
import operator
from collections.abc import Iterator

from detectron2.config import CfgNode, get_cfg

from .defaults import add_eql_config


def default_config() -> CfgNode:
    """Detectron2's and our keys, with their defaults."""
    cfg = get_cfg()
    add_eql_config(cfg)
    return cfg


def leaves(node: CfgNode, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Dotted keys, and their values."""
    for key, value in node.items():
        if isinstance(value, CfgNode):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def value_of(cfg: CfgNode, key: str) -> object:
    """Value, or node, of a dotted key."""
    return functools.reduce(operator.getitem, key.split("."), cfg)

"""How the tensors of a foreign file become those of a model of this project, or do not."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torch import Tensor

from ...exceptions import InputError
from .architectures import Shape

_NUM_LISTED = 3


class Change(NamedTuple):
    """A tensor that is not copied as it is: its shape in the file and what is done with it."""

    shape: Shape
    function: Callable[[Tensor], Tensor]


@dataclass
class Recipe:
    """All that is known of one architecture of one code.

    Args:
        title: the architecture and whose it is, for messages.
        shapes: of the tensors of our model, by their names.
        layers: their name in the file of each of our layers (the part of a tensor's name before the
            last point); a layer that is not in it has the same name there.
        changes: the tensors of our model that are not copied as they are.
        dropped: tensors of the file that our model does not need: pattern of the name and reason.
        config_file: config of this project that the model belongs to.
        overrides: config keys that differ from it, or that a file is worthless without.
        notes: what a reader of the numbers should know.
        is_complete: whether the file has the whole model; a part of it is only to be trained.
    """

    title: str
    shapes: dict[str, Shape]
    layers: dict[str, str] = field(default_factory=dict)
    changes: dict[str, Change] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)
    config_file: str = ""
    overrides: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    is_complete: bool = True

    def source(self, name: str) -> str:
        """Name in the file of our tensor ``name``."""
        layer, _, kind = name.rpartition(".")
        return f"{self.layers.get(layer, layer)}.{kind}"


def apply_recipe(
    recipe: Recipe, state: dict[str, Tensor]
) -> tuple[dict[str, Tensor], dict[str, list[str]]]:
    """Convert all tensors of a file.

    Returns:
        The tensors of our model by their names, and the names that were dropped by their reason.

    Raises:
        InputError: a tensor is missing, has another shape, has values that are not finite, or
            nobody knows what it is for.
    """
    sources = {name: recipe.source(name) for name in recipe.shapes}
    unknown, dropped = [], {}
    used = set(sources.values())
    for name in (name for name in state if name not in used):
        reason = next((r for p, r in recipe.dropped.items() if re.search(p, name)), None)
        (unknown if reason is None else dropped.setdefault(reason, [])).append(name)
    missing, misshapen, broken = [], [], []
    for name, source in sources.items():
        shape = recipe.changes[name].shape if name in recipe.changes else recipe.shapes[name]
        if source not in state:
            missing.append(source)
        elif state[source].shape != shape:
            misshapen.append(f"{source} {tuple(state[source].shape)} instead of {tuple(shape)}")
        elif not state[source].isfinite().all():
            broken.append(source)
    problems = [
        _list(text, names)
        for text, names in (
            ("not known", sorted(unknown)),
            ("missing", missing),
            ("of another shape", misshapen),
            ("not finite", broken),
        )
        if names
    ]
    if problems:
        raise InputError(
            f"the file is not {recipe.title} as that code builds it, {'; '.join(problems)}: other "
            "heads (LWS, BAGS) and changed models cannot be converted"
        )
    converted = {}
    for name, source in sources.items():
        change = recipe.changes.get(name)
        converted[name] = change.function(state[source]) if change else state[source]
    return converted, dropped


def _list(text: str, names: list[str]) -> str:
    more = ", ..." if len(names) > _NUM_LISTED else ""
    tensors = "1 tensor is" if len(names) == 1 else f"{len(names)} tensors are"
    return f"{tensors} {text} ({', '.join(names[:_NUM_LISTED])}{more})"

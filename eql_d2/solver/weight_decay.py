"""Weight decays of single parameters, which Detectron2 has by the kind of a parameter only."""

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

from detectron2.solver.build import get_default_optimizer_params, reduce_param_groups
from torch import nn

from ..exceptions import InputError
from ..messages import shown

Overrides = Sequence[tuple[str, float]]


def get_optimizer_params(
    model: nn.Module, weight_decay_overrides: Overrides = (), **kwargs: Any
) -> list[dict[str, Any]]:
    """Detectron2's ``get_default_optimizer_params``, for a LazyConfig, with other weight decays for
    the parameters of some names.

    Args:
        model: with the parameters.
        weight_decay_overrides: see :func:`override_weight_decay`.
        **kwargs: of Detectron2's.
    """
    groups = get_default_optimizer_params(model, **kwargs)
    return override_weight_decay(groups, model, weight_decay_overrides)


def override_weight_decay(
    groups: list[dict[str, Any]], model: nn.Module, overrides: Overrides
) -> list[dict[str, Any]]:
    """Groups of an optimizer with other weight decays for the parameters of some names.

    Args:
        groups: of Detectron2; what they hold besides stays.
        model: with the parameters; what is not trained, and so in no group, is left out.
        overrides: (regular expression of a whole name, weight decay); the last that fits counts.

    Raises:
        InputError: see :func:`check_overrides`; an expression fits no parameter.
    """
    if not overrides:
        return groups
    check_overrides(overrides)
    trained = {parameter for group in groups for parameter in group["params"]}
    others = []
    for pattern, weight_decay in overrides:
        names = [name for name, _ in model.named_parameters() if re.fullmatch(pattern, name)]
        if not names:
            raise InputError(
                f"weight decay override {pattern!r} fits no parameter of the model: give a regular "
                f"expression of whole names, such as {next(model.named_parameters())[0]!r}"
            )
        found = [p for p in map(model.get_parameter, names) if p in trained]
        others.append({"params": found, "weight_decay": weight_decay})
    # Detectron2 merges groups only where their settings stand in the same order.
    return reduce_param_groups([dict(sorted(group.items())) for group in [*groups, *others]])


def check_overrides(overrides: object) -> None:
    """Refuse what are no pairs of a regular expression and a weight decay of 0 or more."""
    is_one = isinstance(overrides, str) or not isinstance(overrides, Iterable)
    for pair in [overrides] if is_one else overrides:
        try:
            pattern, weight_decay = pair
            re.compile(pattern)
            is_right = 0 <= weight_decay < math.inf
        except (TypeError, ValueError, re.error):
            is_right = False
        if not is_right:
            raise InputError(
                f"{shown(pair)} in WEIGHT_DECAY_OVERRIDES (weight_decay_overrides) is no pair of a "
                "regular expression and a weight decay of 0 or more: give for example "
                r"('head\.cls_preds\..*bias', 5e-4)"
            )

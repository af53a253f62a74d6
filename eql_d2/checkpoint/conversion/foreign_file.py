"""Read a checkpoint that others wrote, without running what it may hold."""

import os
import re
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...exceptions import InputError

# Sums that run over the whole training: their moving average is no sum.
_SUMS = re.compile(r"\.(pos_grad|neg_grad|pos_neg)$")


@dataclass
class ForeignFile:
    """What a checkpoint holds.

    Args:
        state: tensors by their names; where the file has a moving average of its weights (``ema``
            of United-Perception), which is what its code evaluates, the average.
        config_text: the training config that mmdet stores with them, or "".
        others: names of what else there is: optimizer, scheduler.
        is_average: whether the weights are a moving average.
    """

    state: dict[str, Tensor]
    config_text: str
    others: list[str]
    is_average: bool = False

    def rows(self, name: str) -> int:
        """Size of the first dimension of a tensor, 0 where there is none."""
        tensor = self.state.get(name)
        return tensor.shape[0] if tensor is not None and tensor.dim() else 0

    def count(self, name: str) -> int:
        """How many of the tensors ``name.format(0)``, ``name.format(1)``, ... there are."""
        number = 0
        while name.format(number) in self.state:
            number += 1
        return number


def read_foreign_file(path: str) -> ForeignFile:
    """Read the tensors of a checkpoint; code in it is never run.

    Raises:
        InputError: the file does not exist, is cut off or damaged, holds objects besides tensors,
            or no tensors.
    """
    content = _load(path)
    nested = next((key for key in ("model", "state_dict") if _is_dict(content, key)), None)
    state = _tensors(content[nested] if nested else content, path)
    if not nested:
        return ForeignFile(state, "", [])
    used = {nested}
    if _is_dict(content.get("ema"), "ema_state_dict"):
        state = _averaged(state, _tensors(content["ema"]["ema_state_dict"], path), path)
        used.add("ema")
    meta = content.get("meta")
    config_text = meta.get("config", meta.get("cfg")) if isinstance(meta, dict) else None
    return ForeignFile(
        state,
        config_text if isinstance(config_text, str) else "",
        others=[str(key) for key in content if key not in used],
        is_average="ema" in used,
    )


def _tensors(state: Any, path: str) -> dict[str, Tensor]:
    if not isinstance(state, dict) or not state:
        raise InputError(f"{path!r} holds no model: give a checkpoint with its state dict")
    wrong = [str(name) for name, value in state.items() if not _is_weight(name, value)]
    if wrong:
        raise InputError(
            f"{wrong[0]!r} of {path!r} is no tensor: give a checkpoint with a state dict under "
            "'model' or 'state_dict', or the state dict alone"
        )
    if all(name.startswith("module.") for name in state):  # saved from DistributedDataParallel
        state = {name.removeprefix("module."): value for name, value in state.items()}
    return state


def _averaged(state: dict[str, Tensor], average: dict[str, Tensor], path: str) -> dict[str, Tensor]:
    different = sorted(state.keys() ^ average.keys())
    if different:
        raise InputError(
            f"model and moving average (ema) of {path!r} have different tensors (the first is "
            f"{different[0]}): the file is damaged or of a changed model"
        )
    return {name: state[name] if _SUMS.search(name) else value for name, value in average.items()}


def _is_weight(name: Any, value: Any) -> bool:
    return isinstance(name, str) and isinstance(value, Tensor)


def _is_dict(content: Any, key: str) -> bool:
    return isinstance(content, dict) and isinstance(content.get(key), dict)


def _load(path: str) -> Any:
    if not os.path.isfile(path):
        raise InputError(f"checkpoint {path!r} does not exist: check the path")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file may fail anywhere in the reader
        found = re.search(r"GLOBAL (\S+)", str(error))
        if found:
            raise InputError(
                f"{path!r} holds {found[1]}, no tensor; loading it could run code, so it is not "
                "loaded: where you trust the file, save its state dict alone with torch.save"
            ) from error
        raise InputError(
            f"{path!r} cannot be read ({type(error).__name__}): it is cut off, damaged or no "
            "PyTorch checkpoint, copy it again"
        ) from error

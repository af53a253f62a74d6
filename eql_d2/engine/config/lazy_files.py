"""Guards against a LazyConfig or overrides that end with a traceback, or are never read."""

import builtins
import dataclasses
import difflib
import inspect
import logging
import traceback
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from detectron2.config import LazyConfig
from detectron2.utils.registry import locate
from omegaconf import DictConfig, ListConfig, OmegaConf
from torch.nn.parallel import DistributedDataParallel

from ...config import misplaced_options
from ...exceptions import InputError
from ...messages import first_line, nearest, shown
from ..build import EQLSettings

logger = logging.getLogger(__name__)

_NODES = ("model", "dataloader", "train")
# All keys of train that are read, by this project or by Detectron2's default_setup. There may be
# others in it, for the user's own code or of another project; in its groups there are not
_TRAIN_KEYS = {
    **dict.fromkeys(("output_dir", "init_checkpoint", "max_iter", "epochs", "eval_period")),
    **dict.fromkeys(("log_period", "device", "seed", "cudnn_benchmark", "average_norm")),
    "micro_batches": None,
    "amp": {"enabled": None},
    "ddp": dict.fromkeys(
        ("fp16_compression", *inspect.signature(DistributedDataParallel).parameters)
    ),
    "eql": dict.fromkeys(field.name for field in dataclasses.fields(EQLSettings)),
    "model_ema": dict.fromkeys(("decay", "warmup")),
    "checkpointer": dict.fromkeys(("period", "max_iter", "max_to_keep", "file_prefix")),
}


def load_lazy(path: str, overrides: Sequence[str]) -> DictConfig:
    """A LazyConfig with overrides. Without a GPU the device of the file becomes the CPU.

    Args:
        path: of the ``.py`` file, which is run.
        overrides: ``["key=value", ...]``. A key is one of the file or an argument of what is called
            there.

    Raises:
        InputError: a line for each problem of the file, or else of the overrides.
    """
    before = builtins.__import__
    try:
        cfg = LazyConfig.load(path)
    except (Exception, SystemExit) as error:  # whatever the code of the file raises
        raise InputError(_failure(path, error)) from error
    finally:
        builtins.__import__ = before  # after an error Detectron2 leaves its own
    problems = _problems_of_nodes(path, cfg)
    if problems:
        raise InputError(*problems)
    if not torch.cuda.is_available():
        cfg.train.device = "cpu"
    problems = list(misplaced_options(overrides))
    if not problems:
        problems = [problem for word in overrides for problem in _override(cfg, word)]
    problems += _problems_of_nodes(path, cfg) or unread_arguments(
        OmegaConf.to_container(cfg, resolve=False)
    )
    if problems:
        raise InputError(*problems)
    return cfg


def _failure(path: str, error: BaseException) -> str:
    if isinstance(error, SyntaxError) and isinstance(error.__cause__, SyntaxError):
        cause = error.__cause__
        file = str(error).removeprefix("Config file ").removesuffix(" has syntax error!")
        return f"config {file!r}, line {cause.lineno}: {cause.msg}: this is no Python, correct it"
    frames = traceback.extract_tb(error.__traceback__)
    modules = [frame for frame in frames if frame.name == "<module>"]
    place = f", line {modules[-1].lineno} of {modules[-1].filename!r}" if modules else ""
    return f"config {path!r} fails{place} ({first_line(error)}): correct it"


def _problems_of_nodes(path: str, cfg: DictConfig) -> list[str]:
    missing = [name for name in _NODES if not isinstance(cfg.get(name), DictConfig)]
    if not missing:
        return []
    return [
        f"config {path!r} has no {' and no '.join(missing)}: assign model, dataloader, "
        "optimizer, lr_multiplier and train, as those in configs/ do"
    ]


def _override(cfg: DictConfig, word: str) -> Iterator[str]:
    key, equals, value = word.partition("=")
    if not equals or not key:
        yield f"override {word!r} is no key=value, which a LazyConfig takes"
        return
    try:
        unknown = list(_unknown(cfg, key.removeprefix("+")))
        if not unknown:
            LazyConfig.apply_overrides(cfg, [word])
        yield from unknown
    except Exception as error:  # of hydra and OmegaConf
        yield f"override {key}={shown(value)} cannot be used ({first_line(error)}): correct it"


def _unknown(cfg: DictConfig, key: str) -> Iterator[str]:
    """A line about a dotted key that nothing reads."""
    node, path = cfg, ""
    for part in key.split("."):
        if isinstance(node, ListConfig):
            if not part.isdigit() or int(part) >= len(node):
                yield f"{path}{part} is unknown: {path[:-1]} has entries 0 to {len(node) - 1}"
                return
            part = int(part)
        elif not isinstance(node, DictConfig):
            yield f"{key} is unknown: {path[:-1]} is {shown(node)}, no group of keys"
            return
        elif part not in node:
            known = _known(node, path)
            if not known.has(part):
                yield f"{path}{part} is unknown: {nearest(part, sorted(known.names))}"
            return
        node, path = node[part], f"{path}{part}."


class _Keys(NamedTuple):
    """Keys that are read.

    Attributes:
        names: of them.
        are_all: whether there are no others. Otherwise only what looks like one of them is wrong.
    """

    names: set[str]
    are_all: bool

    def has(self, key: str) -> bool:
        if key in self.names:
            return True
        return not self.are_all and not difflib.get_close_matches(key, self.names, 1, 0.85)


def _known(node: DictConfig, path: str) -> _Keys:
    """Keys that a node has or could have."""
    known = _TRAIN_KEYS if path.startswith("train.") else None
    for part in path.split(".")[1:-1]:
        known = known and known.get(part)
    if known is not None:
        return _Keys(set(known), path != "train.")
    return _arguments(node["_target_"]) if "_target_" in node else _Keys(set(node), True)


def _arguments(target: object) -> _Keys:
    """Of a function or class."""
    try:
        parameters = inspect.signature(_located(target)).parameters.values()
    except (TypeError, ValueError):  # built in, or no callable
        return _Keys(set(), False)
    are_all = not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    return _Keys({parameter.name for parameter in parameters}, are_all)


def _located(target: object) -> object:
    return locate(target) if isinstance(target, str) else target


def unread_arguments(content: object, path: str = "") -> Iterator[str]:
    """Lines about arguments that what is called does not have, and keys of train that none reads.

    Args:
        content: plain, without interpolation.
        path: that it has, with a dot at its end.
    """
    if path == "train.":
        yield from _unread_keys(content, _TRAIN_KEYS, path, are_all=False)
    elif isinstance(content, Mapping):
        target = content.get("_target_")
        try:
            known = _Keys(set(), False) if target is None else _arguments(target)
        except Exception as error:  # importing it can do anything
            yield f"{path}_target_ is {target!r}, which is not found ({first_line(error)})"
            return
        for key, value in content.items():
            if key != "_target_" and not known.has(str(key)):
                name = getattr(target, "__qualname__", target)
                yield f"{path}{key} is no argument of {name}: {nearest(str(key), known.names)}"
            yield from unread_arguments(value, f"{path}{key}.")
    elif isinstance(content, (list, tuple)):
        for i, value in enumerate(content):
            yield from unread_arguments(value, f"{path}{i}.")


def _unread_keys(
    content: Mapping, known: Mapping, path: str, are_all: bool = True
) -> Iterator[str]:
    keys = _Keys(set(known), are_all)
    for key, value in content.items():
        if not keys.has(str(key)):
            yield f"{path}{key} is unknown: {nearest(str(key), known)}"
        elif isinstance(known.get(key), dict):
            if isinstance(value, Mapping):
                yield from _unread_keys(value, known[key], f"{path}{key}.")
            else:
                yield f"{path}{key} is {shown(value)}: it is a group of keys, give {path}{key}.KEY"


def warn_of_unread(cfg: DictConfig) -> None:
    """Name the keys of ``train`` that no trainer here reads."""
    unread = [f"train.{key}" for key in cfg.train if key not in _TRAIN_KEYS]
    if unread:
        logger.warning(f"Nothing reads {', '.join(unread)}: the training does without")

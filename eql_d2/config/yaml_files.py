"""Guards against a yaml config that runs code, and one that Detectron2 ends with a traceback."""

import io
import os
import re
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import yaml
from detectron2.config import CfgNode
from detectron2.config.compat import guess_version

from ..exceptions import InputError
from ..messages import first_line, nearest, shown
from .keys import default_config, leaves, value_of

_BASE = "_BASE_"
_TAG = re.compile(r"""!!python/object/apply:eval\s*\[\s*(["'])([^"']*)\1\s*\]""")
# What Detectron2's own Base-RetinaNet.yaml, and copies of it with other sizes, have evaluated:
# three octave scales of each size
_OCTAVES = re.compile(r"\[\[x,x\*2\*\*\(1\.0/3\),x\*2\*\*\(2\.0/3\)\]forxin\[([\d,]+)\]\]")
_KINDS = {
    bool: "True or False",
    int: "a whole number",
    float: "a number with a decimal point",
    str: "a text (a number needs inner quotes: \"'1'\")",
    tuple: "values in brackets",
    list: "values in brackets",
}


# Keys that take a number, a word and None; yacs keeps the type of the value that is there
_OF_SEVERAL_TYPES = ("MODEL.EQL.PRIOR_PROB",)


def read_config(path: str, overrides: Sequence[str]) -> CfgNode:
    """Detectron2's and our keys, with the values of a file, then of the overrides.

    Without a GPU the device of the file becomes the CPU. Python tags in the file are refused, but
    for the anchor sizes of Detectron2's own ``Base-RetinaNet.yaml``, which are written out.

    Args:
        path: of the file.
        overrides: ``[KEY, VALUE, ...]``.

    Raises:
        InputError: a line for each problem of the file, or else of the overrides.
    """
    cfg = default_config()
    try:
        _merge_file(cfg, path)
    except Exception as error:  # of yacs, PyYAML and Detectron2: none says which file, line and key
        problems = list(_problems_of_file(path, ())) or [
            f"config {path!r} cannot be used ({first_line(error)})"
        ]
        raise InputError(*problems) from error
    if not torch.cuda.is_available():
        cfg.MODEL.DEVICE = "cpu"
    problems = list(_override_all(cfg, list(overrides)))
    if problems:
        raise InputError(*problems)
    return cfg


class _PlainFile(CfgNode):
    """Reads a file and those that it is based on, without running anything."""

    @classmethod
    def _open_cfg(cls, filename: str) -> io.StringIO:
        with super()._open_cfg(filename) as file:
            return io.StringIO(_without_octaves(file.read()))


def content_of(path: str) -> dict[str, Any]:
    """Plain content of a config file, merged into that of the files that it is based on."""
    return _PlainFile.load_yaml_with_base(path)


def _without_octaves(text: str) -> str:
    def written_out(tag: re.Match) -> str:
        found = _OCTAVES.fullmatch("".join(tag[2].split()))
        if not found:
            return tag[0]  # which the reader refuses
        sizes = [int(size) for size in found[1].split(",") if size]
        return str([[size, size * 2 ** (1 / 3), size * 2 ** (2 / 3)] for size in sizes])

    return _TAG.sub(written_out, text)


def _merge_file(cfg: CfgNode, path: str) -> None:
    content = CfgNode(content_of(path))
    version = content.get("VERSION") or guess_version(content, path)
    if version == cfg.VERSION:
        cfg.merge_from_other_cfg(content)
    else:  # an old one, which Detectron2 upgrades
        cfg.merge_from_file(path, allow_unsafe=False)


def _override_all(cfg: CfgNode, words: list[str]) -> Iterator[str]:
    yield from misplaced_options(words)
    if any(word.startswith("--") for word in words):
        return
    if any("=" in word and word.split("=")[0] in _known(cfg) for word in words):
        yield f"overrides of a yaml config have no equals sign: {' '.join(words).replace('=', ' ')}"
        return
    if len(words) % 2:
        yield f"override {words[-1]!r} has no value: give pairs of KEY VALUE after the options"
    for key, value in zip(words[::2], words[1::2]):
        yield from _override(cfg, key, value)


def _override(cfg: CfgNode, key: str, value: object) -> Iterator[str]:
    """Set a key; a line if that fails."""
    if cfg.key_is_renamed(key):
        try:
            cfg.raise_key_rename_error(key)
        except KeyError as error:
            yield error.args[0]
        return
    if cfg.key_is_deprecated(key):
        return
    try:
        present = value_of(cfg, key)
    except (KeyError, TypeError):
        yield f"{key or repr(key)} is unknown: {nearest(key, _known(cfg))}"
        return
    if isinstance(present, CfgNode):
        example = next(leaves(present, f"{key}."))[0]
        yield f"{key} is {shown(value)}: it is a group of keys, give one, for example {example}"
        return
    node, name = value_of(cfg, key.rpartition(".")[0]) if "." in key else cfg, key.split(".")[-1]
    if key in _OF_SEVERAL_TYPES:
        node[name] = None  # which any value replaces
    try:
        cfg.merge_from_list([key, value])
    except Exception:  # of the type, or of evaluating the text
        kind = _KINDS.get(type(present), "another value")
        yield f"{key} is {shown(value)}: give {kind}, for example {shown(present)}"


def _known(cfg: CfgNode) -> list[str]:
    return [key for key, _ in leaves(cfg)]


def _problems_of_file(path: str, opened: tuple[str, ...]) -> Iterator[str]:
    """Lines about a file that cannot be merged, and about those that it is based on."""
    where = f"config {path!r}"
    if os.path.abspath(path) in opened:
        yield f"{where} is its own {_BASE}, by way of {len(opened)} file(s): remove one {_BASE}"
        return
    try:
        with open(path, encoding="utf-8") as file:
            content = yaml.safe_load(_without_octaves(file.read()))
    except yaml.constructor.ConstructorError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        yield f"{where}{line}: {error.problem}: write plain values, no tags"
        return
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        reason = getattr(error, "problem", None) or first_line(error)
        yield f"{where}{line}: {reason}: this is no YAML, correct it"
        return
    except (OSError, ValueError, RecursionError) as error:
        yield f"{where} cannot be read ({first_line(error)}): give a text file in UTF-8"
        return
    if not isinstance(content, dict):
        yield f"{where} holds {shown(content)}: write keys and values, for example SEED: 1"
        return
    bases = content.pop(_BASE, [])
    for base in bases if isinstance(bases, list) else [bases]:
        if not isinstance(base, str):
            yield f"{where}: {_BASE} is {shown(base)}: give the path of a config"
        elif "://" not in base:
            base = os.path.join(os.path.dirname(path), os.path.expanduser(base))
            if os.path.exists(base):
                yield from _problems_of_file(base, (*opened, os.path.abspath(path)))
            else:
                yield f"{where}: {_BASE} {base!r} does not exist: give its path from this file"
    if content.get("VERSION", 2) == 2:
        for problem in _problems_of_keys(default_config(), content, ""):
            yield f"{where}: {problem}"
    else:
        yield f"{where}: VERSION is {shown(content['VERSION'])}: give 2, Detectron2's present one"


def _problems_of_keys(cfg: CfgNode, content: dict, prefix: str) -> Iterator[str]:
    for key, value in content.items():
        if not isinstance(key, str):
            yield f"{prefix}{key} is unknown: write a key of Detectron2 or of this project"
            continue
        try:
            is_group = isinstance(value_of(cfg, f"{prefix}{key}"), CfgNode)
        except (KeyError, TypeError):
            is_group = False
        if is_group and isinstance(value, dict):
            yield from _problems_of_keys(cfg, value, f"{prefix}{key}.")
        else:
            yield from _override(cfg, f"{prefix}{key}", value)


def misplaced_options(words: Sequence[str]) -> Iterator[str]:
    """Lines about options among the overrides, where argparse no longer reads them."""
    for word in words:
        if word.startswith("--"):
            yield (
                f"{word} stands after the config overrides, where no option is read: give all "
                f"options before the first override {words[0]!r}"
            )

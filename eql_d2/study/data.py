"""Data of a study: where files are looked for, options of ``train_net.py``, generated data."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from ..data.datasets.own_data import with_names
from ..exceptions import InputError
from .processes import end_with_parent

# Option of train_net.py that registers a split of a generated data set, and what follows its name
GENERATED = {
    "glyphs": ("--dataset", "{data}/{split}.json", "{data}/images"),
    "other_glyphs": ("--dataset", "{data}/{split}.json", "{data}/images"),
    "glyph_crops": ("--class-folder", "{data}/{split}"),
    "glyph_maps": (
        "--mask-folder",
        "{data}/images/{split}",
        "{data}/labels/{split}",
        "{data}/classes.txt",
    ),
}
# How many words follow each data option of train_net.py, and which of them are paths
OPTIONS = {
    "--dataset": (3, (1, 2)),
    "--long-tail": (5, (1, 2)),
    "--class-folder": (2, (1,)),
    "--long-tail-folder": (4, (1,)),
    "--mask-folder": (4, (1, 2, 3)),
}


def existing_path(text: str, what: str) -> Path:
    """Absolute path of a file or folder, given as it is or relative to the current directory.

    Raises:
        InputError: it is not there.
    """
    path = Path.cwd() / Path(text).expanduser()
    if not path.exists():
        raise InputError(
            f"{what} {text!r} does not exist: give a path relative to the current directory"
        )
    return path.resolve()


def generated_options(name: str) -> list[str]:
    """Options of ``train_net.py`` that register ``<name>_train`` and ``<name>_val``.

    Raises:
        InputError: there is no generated data set of that name.
    """
    if name not in list(GENERATED):
        raise InputError(f"data.generate is {name!r}: give one of {', '.join(GENERATED)}")
    option, *paths = GENERATED[name]
    words = []
    for split in ("train", "val"):
        words += [option, f"{name}_{split}"]
        words += [path.format(data=_folder(name), split=split) for path in paths]
    return words


def checked_options(options: Sequence) -> list[str]:
    """Data options of ``train_net.py`` with absolute paths.

    Raises:
        InputError: one is not known, has too few words, or names a file or folder that is not
            there.
    """
    words = with_names(map(str, options))
    checked = []
    while words:
        option, *words = words
        if option not in OPTIONS:
            raise InputError(
                f"data.options has {option!r} for an option: give {', '.join(OPTIONS)}"
            )
        size, paths = OPTIONS[option]
        values, words = words[:size], words[size:]
        if len(values) < size or any(value in OPTIONS for value in values):
            raise InputError(f"data.options: {option} needs {size} words, see train_net.py --help")
        for place in paths:
            values[place] = str(existing_path(values[place], f"data.options: {option}"))
        checked += [option, *values]
    return checked


def generate(name: str) -> None:
    """Write a generated data set, unless it is there, by its own command.

    Raises:
        InputError: the command fails.
    """
    command = [sys.executable, "-W", "ignore", "-m", f"eql_d2.demo.{name}", str(_folder(name))]
    print(f"making sure that {_folder(name)} is complete", flush=True)
    done = subprocess.run(command, text=True, stderr=subprocess.PIPE, preexec_fn=end_with_parent())
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1]
        raise InputError(f"the data set {name} cannot be generated: {last.removeprefix('error: ')}")


def _folder(name: str) -> Path:
    return Path.cwd() / "datasets" / name

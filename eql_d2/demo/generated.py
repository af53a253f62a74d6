"""Folders of generated data sets: made once, whole or not at all, never over other files."""

import argparse
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ..exceptions import InputError

PARAMETERS_FILE = "parameters.json"


def write_aside(
    output_dir: Path, name: str, entries: set[str], write: Callable[[Path], None]
) -> None:
    """Let ``write`` fill a new folder, then put it in the place of ``output_dir``.

    Args:
        output_dir: Directory to write; it may exist only when it holds nothing but ``entries``.
        name: Name of the data set.
        entries: Files and folders at the top of the data set.
        write: Called with the path of the folder to make and fill.

    Raises:
        InputError: ``output_dir`` holds something else.
    """
    if output_dir.exists() and (
        not output_dir.is_dir() or {path.name for path in output_dir.iterdir()} - entries
    ):
        raise InputError(
            f"{output_dir} holds something other than the {name} data set; name an empty directory"
        )
    output_dir.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=output_dir.parent) as scratch:
        written = Path(scratch) / "new"
        write(written)
        if output_dir.exists():
            os.replace(output_dir, Path(scratch) / "old")
        os.replace(written, output_dir)


def write_once(
    output_dir: Path,
    name: str,
    entries: set[str],
    parameters: Mapping[str, Any],
    write: Callable[[Path], None],
) -> bool:
    """:func:`write_aside`, unless the data set is there with the same parameters and all files.

    ``parameters.json`` holds the parameters and the list of the files.

    Args:
        output_dir, name, entries, write: see :func:`write_aside`.
        parameters: What the data set is generated from; of types that JSON keeps.

    Returns:
        True if the data set was written, False if it was there already.

    Raises:
        InputError: ``output_dir`` holds something else.
    """

    def write_with_list(folder: Path) -> None:
        write(folder)
        content = {"parameters": parameters, "files": _files(folder)}
        (folder / PARAMETERS_FILE).write_text(json.dumps(content))

    if _complete_parameters(output_dir) == parameters:
        return False
    write_aside(output_dir, name, entries | {PARAMETERS_FILE}, write_with_list)
    return True


def check_at_least(
    name: str, num_classes: int, parameters: Mapping[str, Any], smallest: Mapping[str, float]
) -> None:
    """Refuse parameters that are too small for the data set.

    Raises:
        InputError: one is below its value in ``smallest``.
    """
    for parameter, least in smallest.items():
        if not parameters[parameter] >= least:
            raise InputError(
                f"{parameter}={parameters[parameter]} is too small for the {name} data set of "
                f"{num_classes} classes; use at least {least}"
            )


def run_command(name: str, generate: Callable[[Path], bool]) -> None:
    """The command line of a data set: write it into the folder that is named."""
    parser = argparse.ArgumentParser(description=f"Write the generated demo data set {name}.")
    parser.add_argument("output_dir", type=Path)
    output_dir = parser.parse_args().output_dir
    try:
        written = generate(output_dir)
    except InputError as error:
        parser.exit(1, f"error: {error}\n")
    print(f"{name}: {'written to' if written else 'complete in'} {output_dir}")


def _files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*"))


def _complete_parameters(folder: Path) -> dict[str, Any] | None:
    """Parameters of the data set in the folder; None if there is none or files are missing."""
    try:
        content = json.loads((folder / PARAMETERS_FILE).read_text())
        return None if set(content["files"]) - set(_files(folder)) else content["parameters"]
    except (OSError, ValueError, KeyError, TypeError):
        return None

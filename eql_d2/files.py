"""Files that appear complete or not at all, and JSON with clear errors."""

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from typing import Any, TextIO

from .exceptions import InputError


@contextlib.contextmanager
def open_atomic(path: str | os.PathLike) -> Iterator[TextIO]:
    """Open a text file for writing that replaces `path` only once it is written completely."""
    temporary = f"{os.fspath(path)}.tmp"
    try:
        with open(temporary, "w", encoding="utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.remove(temporary)
        raise


def write_json(path: str | os.PathLike, content: Any) -> None:
    """Write a JSON file, with its folder if need be; it appears complete or not at all."""
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with open_atomic(path) as file:
        json.dump(content, file, indent=1)


def read_json(path: str | os.PathLike, object_hook: Callable[[dict], Any] | None = None) -> Any:
    """Read a JSON file.

    Args:
        path: of the file.
        object_hook: see :func:`json.load`.

    Raises:
        InputError: the file cannot be read or is not valid JSON.
    """
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file, object_hook=object_hook)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; check the path") from error
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{path} is not valid JSON ({error}): it may be cut off, copy it again"
        ) from error


def read_ground_truth_json(
    path: str | os.PathLike, object_hook: Callable[[dict], Any] | None = None
) -> dict[str, Any]:
    """Read the ground truth of an evaluator: ``images``, ``categories`` and, but for a test set,
    ``annotations``.

    Raises:
        InputError: as for :func:`read_json`; there are no images or categories.
    """
    content = read_json(path, object_hook)
    if not isinstance(content, dict) or not content.keys() >= {"images", "categories"}:
        raise InputError(
            f"annotations {path} have no 'images' and 'categories': not COCO format, not LVIS "
            "format"
        )
    content.setdefault("annotations", [])
    return content

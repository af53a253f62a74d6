"""Files that appear complete or not at all; text and JSON of others, with clear errors."""

import contextlib
import io
import json
import os
from collections.abc import Callable, Iterator
from typing import Any, TextIO

from .exceptions import InputError
from .foreign_formats import binary_format, folder_format, json_format, text_format


def check_local(path: str | os.PathLike, what: str) -> None:
    """Refuse to write to a path of another file system, such as ``s3://``, of which Detectron2's
    ``PathManager`` may know: plain files would go to a local folder of that name.

    Args:
        path: where files are to be written.
        what: name of the path in the error.

    Raises:
        InputError: it is one.
    """
    if "://" in str(path):
        raise InputError(
            f"{what} is {str(path)!r}, and all is written to folders of this machine: give one, "
            "mounted or copied from later"
        )


@contextlib.contextmanager
def open_atomic(path: str | os.PathLike) -> Iterator[TextIO]:
    """Open a text file for writing that replaces `path` only once it is written completely."""
    check_local(path, "the path of a file")
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
    check_local(path, "the path of a file")
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with open_atomic(path) as file:
        json.dump(content, file, indent=1)


def open_text(path: str | os.PathLike, newline: str | None = None) -> TextIO:
    """Open a text file in UTF-8, with or without a byte order mark, for reading.

    Args:
        path: of the file.
        newline: see :func:`open`.

    Raises:
        InputError: the file cannot be read, or its first bytes are those of no such text.
    """
    if os.path.isdir(path):
        raise InputError(f"{path} is a folder, not a file{_found_in(path)}: give a file")
    try:
        file = open(path, "rb")
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; check the path") from error
    what = binary_format(file.peek(4))
    if what is not None:
        file.close()
        raise InputError(f"{path} {what}")
    return io.TextIOWrapper(file, encoding="utf-8-sig", newline=newline)


def _found_in(folder: str | os.PathLike) -> str:
    what = folder_format(folder)
    return f", and {what}" if what else ""


def read_text(path: str | os.PathLike) -> str:
    """The whole of a text file in UTF-8, with or without a byte order mark.

    Raises:
        InputError: as for :func:`open_text`; it is no such text further on.
    """
    with open_text(path) as file:
        try:
            return file.read()
        except UnicodeDecodeError as error:
            reason = f"byte {error.start}: {error.reason}"
            raise InputError(f"{path} is no text in UTF-8 ({reason}): save it as UTF-8") from error


def read_json(path: str | os.PathLike, object_hook: Callable[[dict], Any] | None = None) -> Any:
    """Read a JSON file.

    Args:
        path: of the file.
        object_hook: see :func:`json.load`.

    Raises:
        InputError: the file cannot be read or is not valid JSON.
    """
    text = read_text(path)
    try:
        return json.loads(text, object_hook=object_hook)
    except (ValueError, RecursionError) as error:
        what = text_format(text) or f"is not valid JSON ({error}): it may be cut off, copy it again"
        raise InputError(f"{path} {what}") from error


def read_ground_truth_json(
    path: str | os.PathLike, object_hook: Callable[[dict], Any] | None = None
) -> dict[str, Any]:
    """Read the ground truth of an evaluator: ``images``, ``categories`` and, but for a test set,
    ``annotations``.

    Raises:
        InputError: as for :func:`read_json`; there are no images or categories, or the file is in
            another format.
    """
    content = read_json(path, object_hook)
    what = json_format(content)
    if not isinstance(content, dict) or not content.keys() >= {"images", "categories"}:
        what = what or "has no 'images' and 'categories': not COCO format, not LVIS format"
    if what is not None:
        raise InputError(f"annotations {path}: the file {what}")
    content.setdefault("annotations", [])
    return content

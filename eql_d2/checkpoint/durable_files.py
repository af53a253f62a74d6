"""Checkpoint files that no crash can tear.

A process can be killed, a machine lose its power and a disk run full at any moment. So a checkpoint
is written to ``model_0004999.pth.tmp`` in the same folder, flushed to the disk and renamed; beside
it stands ``model_0004999.pth.sha256``, one line that ``sha256sum -c`` takes::

    <SHA-256, 64 hexadecimal digits>  model_0004999.pth

At each moment there is, under the final name, the whole old file, the whole new one or none. Where
a file is replaced its checksum is removed first and written last: one without a checksum is whole,
too (those of Detectron2 and of release 0.1 have none). ``last_checkpoint`` moves after all that.
A bit that flips later on the disk is found by the checksum when the file is read.
"""

import contextlib
import errno
import hashlib
import os
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..exceptions import InputError, TrainingError
from ..files import open_atomic

TAG = "last_checkpoint"  # Detectron2's file with the name of the checkpoint saved last
_CHECKSUM = ".sha256"
_TEMPORARY = ".tmp"
_PERIODIC = re.compile(r"(.+)_(\d{7,})\.pth")  # model_0004999.pth, as Detectron2 names them
_BLOCK = 1 << 20
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class _HashingWriter:
    """What `torch.save` writes to: a file that is hashed as it grows. Remembers why it failed,
    which PyTorch does not say."""

    def __init__(self, file: Any):
        self._file = file
        self.digest = hashlib.sha256()
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            self.digest.update(data)
            return self._file.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self._file.flush()


def write_durably(
    path: Path, write: Callable[[Any], None], check: Callable[[Path], None] | None = None
) -> None:
    """Write a file with its checksum; what was there before stays whole until the end.

    Args:
        path: of the file.
        write: called with what it is to write to.
        check: called with the path of what was written, before it gets its final name.

    Raises:
        TrainingError: the disk is full or cannot be written to. Nothing is left of the new file.
    """
    temporary = Path(f"{path}{_TEMPORARY}")
    checksum = Path(f"{path}{_CHECKSUM}")
    writer = None
    try:
        with open(temporary, "wb") as file:
            writer = _HashingWriter(file)
            write(writer)
            file.flush()
            os.fsync(file.fileno())
        if check is not None:
            check(temporary)
        if checksum.exists():
            checksum.unlink()
            _flush_folder(path.parent)
        os.replace(temporary, path)
        _flush_folder(path.parent)
        with open_atomic(checksum) as file:
            file.write(f"{writer.digest.hexdigest()}  {path.name}\n")
        _flush_folder(path.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        cause = error if isinstance(error, OSError) else getattr(writer, "error", None)
        if cause is None:
            raise
        advice = "free some space" if cause.errno in _NO_SPACE else "check the disk"
        raise TrainingError(
            f"checkpoint {str(path)!r} could not be written ({cause.strerror}): {advice} and start "
            "again with --resume; the older files are as they were"
        ) from error


def write_tag(folder: Path, name: str) -> None:
    """Let ``last_checkpoint`` name a file of the folder."""
    with open_atomic(folder / TAG) as file:
        file.write(name)
    _flush_folder(folder)


def read_tag(folder: Path) -> str | None:
    """The name in ``last_checkpoint``; None where there is no such file."""
    try:
        return (folder / TAG).read_text(encoding="utf-8", errors="replace").strip()
    except FileNotFoundError:
        return None


def checksum_problem(path: Path) -> str | None:
    """What is wrong with a file by its checksum or, if it has none, by those that PyTorch writes
    into it and never reads; None also where there are neither."""
    try:
        line = Path(f"{path}{_CHECKSUM}").read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return _problem_inside(path)
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    if line.split()[:1] == [digest.hexdigest()]:
        return None
    return f"does not agree with its checksum {path.name}{_CHECKSUM}"


def _problem_inside(path: Path) -> str | None:
    if not zipfile.is_zipfile(path):
        return None
    try:
        with zipfile.ZipFile(path) as file:
            # They are all 0 with torch.serialization.set_crc32_options(False).
            has_checksums = any(member.CRC for member in file.infolist())
            is_damaged = has_checksums and file.testzip() is not None
    except Exception:  # a damaged file may fail anywhere in the reader
        is_damaged = True
    return "does not agree with the checksums that PyTorch wrote into it" if is_damaged else None


def check_checksum(path: str) -> None:
    """Refuse a file that does not agree with the checksum beside it.

    Raises:
        InputError: it does not.
    """
    problem = checksum_problem(Path(path))
    if problem:
        raise InputError(
            f"checkpoint {path!r} {problem}: it is damaged, copy it again or use another (if you "
            f"changed it yourself, delete {_CHECKSUM})"
        )


def remove_old(folder: Path, name: str, keep: int) -> None:
    """Keep a periodic checkpoint and the newest before it.

    Those with a higher iteration are left alone: they are of another training, or broken.

    Args:
        folder: with the checkpoints, also those of earlier processes.
        name: of the one that was just written. With another kind of name nothing is removed.
        keep: how many to keep; 0 keeps all.
    """
    saved = _PERIODIC.fullmatch(name)
    if not keep or saved is None:
        return
    older = {}
    for path in folder.iterdir():
        match = _PERIODIC.fullmatch(path.name)
        if match and match[1] == saved[1] and int(match[2]) < int(saved[2]):
            older[int(match[2])] = path
    for _, path in sorted(older.items(), reverse=True)[keep - 1 :]:
        path.unlink(missing_ok=True)
        Path(f"{path}{_CHECKSUM}").unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> list[str]:
    """Remove what a killed process left half-written, and checksums of files that are gone.

    Returns:
        Names of the files that were removed.
    """
    endings = (".pth", f".pth{_CHECKSUM}", TAG)
    removed = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        whole = path.name.removesuffix(_TEMPORARY)
        is_temporary = whole != path.name and whole.endswith(endings)
        checked = path.name.removesuffix(_CHECKSUM)
        is_lone = checked != path.name and checked.endswith(".pth")
        if is_temporary or (is_lone and not (folder / checked).exists()):
            path.unlink(missing_ok=True)
            removed.append(path.name)
    return removed


def iteration_in_name(path: Path) -> int | None:
    match = _PERIODIC.fullmatch(path.name)
    return int(match[2]) if match else None


def _flush_folder(folder: Path) -> None:
    """Let a renaming reach the disk. Some network file systems refuse it, and need it not."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:
        pass
    finally:
        os.close(descriptor)

"""One run at a time writes to an ``OUTPUT_DIR``.

Guards against two that destroy each other: the second removes what the first has half-written, and
cuts off its record. The lock is the system's, of the file ``.lock``: it ends with the process that
holds it, however that ends, and holds on network file systems too (NFS 4; NFS 3 with lockd), so
that the file may stay and nobody has to remove it. Where there are no locks a warning says so.
"""

import contextlib
import fcntl
import logging
import os
import socket
from collections.abc import Iterator
from typing import IO

from ..distributed import from_main_process
from ..exceptions import InputError
from ..files import check_local

logger = logging.getLogger(__name__)

LOCK = ".lock"
# By the process, whose alone a lock is and not of those that it forks, and the real path
_held: dict[tuple[int, str], IO | None] = {}


@contextlib.contextmanager
def held(folder: str | os.PathLike) -> Iterator[None]:
    """Hold the folder of a run, which is made if need be; again in the same run it does nothing.

    Collective: the main process holds it for all.

    Raises:
        InputError: another run holds it, or it is no folder of this machine.
    """
    key = os.getpid(), os.path.realpath(folder)
    if not folder or key in _held:
        yield
        return
    check_local(folder, "OUTPUT_DIR")
    _held[key] = None

    def hold() -> None:
        _held[key] = _locked(os.fspath(folder))

    try:
        from_main_process(hold)
        yield
    finally:
        file = _held.pop(key)
        if file is not None:
            file.close()


def _locked(folder: str) -> IO:
    try:
        os.makedirs(folder, exist_ok=True)
        file = open(os.path.join(folder, LOCK), "a+")
    except OSError as error:
        raise InputError(
            f"OUTPUT_DIR {folder!r} cannot be written to ({error.strerror}): give another folder"
        ) from error
    try:
        # flock would be of the workers of a data loader, too, which live a little longer.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as error:
        file.seek(0)
        holder = file.read().strip() or "another process"
        file.close()
        raise InputError(
            f"another run writes to OUTPUT_DIR {folder!r} ({holder}): wait for its end, or give "
            "another folder"
        ) from error
    except OSError as error:
        logger.warning(
            f"Two runs in {folder} would not be noticed: its file system has no locks "
            f"({error.strerror})"
        )
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
    file.flush()
    return file

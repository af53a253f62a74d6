"""Processes of a study: none outlives it, and one study at a time writes to a folder."""

import contextlib
import ctypes
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from ..exceptions import InputError

LOCK = "lock"
# A study that was killed is gone at once, its trainings a moment later.
_LOCK_SECONDS = 6
_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


@contextlib.contextmanager
def one_line_exits() -> Iterator[None]:
    """End the program without a traceback where bad input, Ctrl-C or SIGTERM is the cause.

    Raises:
        SystemExit: with the line of an InputError, or with 130 after an interruption.
    """
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except InputError as error:
        sys.exit("\n".join(f"error: {line}" for line in error.problems))
    except KeyboardInterrupt:
        print("\nstopped, and all trainings with it; the same command goes on", file=sys.stderr)
        sys.exit(130)
    finally:
        signal.signal(signal.SIGTERM, previous)


@contextlib.contextmanager
def locked(output: Path, *, empty: bool = False) -> Iterator[int]:
    """Hold the folder of a study, which is made if need be.

    Its trainings hold it, too: where one outlives the study, none can start beside it.

    Args:
        output: of the study.
        empty: remove all that is in it first.

    Yields:
        File descriptor of the lock, for :func:`start`.

    Raises:
        InputError: another study holds it, or there is something in it that no study made.
    """
    output.mkdir(parents=True, exist_ok=True)
    if not empty and any(output.iterdir()) and not (output / LOCK).exists():
        raise InputError(f"output {output} holds what no study made: name an empty folder")
    with open(output / LOCK, "a") as file:
        deadline = time.monotonic() + _LOCK_SECONDS
        while not _try_lock(file.fileno()):
            if time.monotonic() > deadline:
                raise InputError(f"a study runs in {output} already: wait, or name another output")
            time.sleep(0.1)
        for path in output.iterdir() if empty else ():
            if path.name != LOCK:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        yield file.fileno()


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def start(
    command: Sequence[str], log: Path, lock: int, environment: Mapping[str, str]
) -> subprocess.Popen:
    """Start a process with one thread that prints to a file, holds the lock and, on Linux, ends
    with this process."""
    with open(log, "w") as file:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
            pass_fds=(lock,),
            preexec_fn=end_with_parent(),
        )


def end_with_parent() -> Callable[[], None] | None:
    """For ``preexec_fn`` of a process that is to end with this one, however this one ends; None
    where only Linux can do it."""
    if _LIBC is None:
        return None
    parent = os.getpid()

    def prepare() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before the line above
            os._exit(1)

    return prepare

"""Runs cases in forked processes, so that one that is killed or hangs is a result like others."""

import collections
import itertools
import multiprocessing
import os
import resource
import signal
import tempfile
import traceback
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from eql_d2 import InputError

Case = tuple[str, Callable[[], None]]
OK, ONE_LINE = "ok", "one line"
_MEMORY = 16 << 30  # address space of a process, bytes


class Result(NamedTuple):
    """How a case ended.

    Attributes:
        name: of the case.
        end: OK, ONE_LINE, or what must not be: "several lines", "traceback", "signal", "timeout".
        detail: message or traceback.
    """

    name: str
    end: str
    detail: str


def run_cases(cases: Iterable[Case], count: int, timeout: float = 900) -> list[Result]:
    """Run the first `count` cases, and remove what they leave."""
    chosen = list(itertools.islice(cases, count))
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="fuzz-") as scratch:
        while len(results) < len(chosen):
            results += _run_until_death(chosen[len(results) :], timeout, scratch)
    return results


def in_new_folder(run: Callable[[str, Path], None], seed: str) -> Callable[[], None]:
    """A function that calls ``run(seed, folder)`` with an empty folder."""

    def run_there() -> None:
        with tempfile.TemporaryDirectory() as folder:
            run(seed, Path(folder))

    return run_there


def count_ends(results: Iterable[Result]) -> dict[str, int]:
    return dict(collections.Counter(result.end for result in results))


def _run_until_death(cases: Sequence[Case], timeout: float, scratch: str) -> list[Result]:
    """Results of the first cases, up to one that ends its process, with it."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(cases, scratch, sender), daemon=True)
    process.start()
    sender.close()
    results = []
    try:
        while len(results) < len(cases):
            name = cases[len(results)][0]
            if not receiver.poll(timeout):
                return [*results, Result(name, "timeout", f"after {timeout:.0f} s")]
            try:
                results.append(Result(name, *receiver.recv()))
            except EOFError:
                process.join()
                return [*results, Result(name, "signal", f"exit code {process.exitcode}")]
        return results
    finally:
        process.kill()
        process.join()


def _child(cases: Sequence[Case], scratch: str, sender) -> None:
    tempfile.tempdir = scratch
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    with open(os.devnull, "w") as null:
        os.dup2(null.fileno(), 1)
        os.dup2(null.fileno(), 2)
    for _, run in cases:
        sender.send(_end(run))


def _end(run: Callable[[], None]) -> tuple[str, str]:
    try:
        run()
    except InputError as error:
        return _by_lines([str(line) for line in error.args])
    except SystemExit as error:
        if error.code == 2:  # of argparse, with the usage
            return ONE_LINE, ""
        return _by_lines(str(error.code).splitlines()) if error.code else (OK, "")
    except BaseException:
        return "traceback", traceback.format_exc()
    return OK, ""


def _by_lines(lines: list[str]) -> tuple[str, str]:
    good = lines and not any("\n" in line or len(line) > 1500 for line in lines)
    return ONE_LINE if good else "several lines", "\n".join(lines)

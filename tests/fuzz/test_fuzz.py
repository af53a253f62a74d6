"""A part of the fuzz: all of it is ``python -m tests.fuzz``."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from eql_d2 import InputError
from tests.fuzz.runner import OK, ONE_LINE, run_cases

DATA = ("annotations", "images", "class folders", "mask folders", "lists")
RUNS = ("config values", "config files", "command lines", "checkpoints")


@pytest.mark.slow
@pytest.mark.parametrize(("kinds", "cases"), [(DATA, 100), (RUNS, 60)], ids=["data", "runs"])
def test_bad_input_ends_in_success_or_one_line(kinds, cases):
    """In a process of its own: one that has used hotcoco has threads, which a fork loses."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.fuzz", "--cases", str(cases)]
    command += [word for kind in kinds for word in ("--kind", kind)]
    result = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert result.returncode == 0, result.stdout + result.stderr
    ends = dict(line.split(": ", maxsplit=1) for line in result.stdout.splitlines())
    assert tuple(ends) == kinds
    assert all(ONE_LINE in line for line in ends.values())
    assert any(OK in line for line in ends.values())


def test_the_runner_tells_the_ends_apart():
    def raises(error):
        def run():
            raise error

        return run

    cases = [
        ("ok", lambda: None),
        ("line", raises(InputError("a is b: give c"))),
        ("exit", raises(SystemExit("train_net.py: error: a is b: give c"))),
        ("lines", raises(InputError("a\nb"))),
        ("defect", raises(KeyError("a"))),
        ("killed", lambda: os.kill(os.getpid(), 9)),
        ("last", lambda: None),
    ]
    ends = [result.end for result in run_cases(cases, 100)]
    assert ends == [OK, ONE_LINE, ONE_LINE, "several lines", "traceback", "signal", OK]
    hangs = [("hangs", lambda: time.sleep(600))] * 2
    assert [result.end for result in run_cases(hangs, 100, timeout=0.1)] == ["timeout"] * 2

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


@pytest.mark.slow
def test_damaged_data_end_in_success_or_one_line():
    """In a process of its own: one that has used hotcoco has threads, which a fork loses."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.fuzz", "--cases", "100"]
    command += [word for kind in DATA for word in ("--kind", kind)]
    result = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert result.returncode == 0, result.stdout + result.stderr
    ends = dict(line.split(": ", maxsplit=1) for line in result.stdout.splitlines())
    assert tuple(ends) == DATA
    for line in ends.values():
        assert OK in line and ONE_LINE in line


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
        ("hangs", lambda: time.sleep(60)),
        ("last", lambda: None),
    ]
    ends = [result.end for result in run_cases(cases, 100, timeout=3)]
    assert ends == [OK, ONE_LINE, ONE_LINE, "several lines", "traceback", "signal", "timeout", OK]

"""Folders that another run writes to, and those that are not of this machine."""

import contextlib
import errno
import fcntl
import multiprocessing
import os
import signal
import time

import pytest
from torch import nn

from eql_d2 import InputError
from eql_d2.checkpoint import EQLCheckpointer
from eql_d2.engine import output_folder
from eql_d2.engine.build import EQLSettings, resume_or_load
from eql_d2.engine.config.environment import check_output_dir
from eql_d2.engine.output_folder import held
from eql_d2.evaluation import build_evaluator
from eql_d2.files import write_json
from eql_d2.report.page import write_report
from eql_d2.study.plan import make_study

FORK = multiprocessing.get_context("fork")


def hold(folder, pids):
    """With a worker that lives longer."""
    with held(folder):
        worker = os.fork()
        if worker:
            pids.put((os.getpid(), worker))
        time.sleep(900)


@pytest.fixture
def other(tmp_path):
    """Process ids of another run that holds the folder, and of a worker of its loader."""
    pids = FORK.SimpleQueue()
    process = FORK.Process(target=hold, args=(tmp_path / "run", pids))
    process.start()
    found = pids.get()
    yield found
    for pid in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.join()


def test_a_folder_is_one_runs_until_it_ends_however_it_ends(tmp_path, other):
    folder = tmp_path / "run"
    (folder / "model_0000003.pth.tmp").write_text("half of what the other writes")
    checkpointer = EQLCheckpointer(nn.Linear(1, 1), str(folder))
    line = f"^another run writes to OUTPUT_DIR '{folder}' .process {other[0]} on .*another folder$"
    with pytest.raises(InputError, match=line) as error:
        resume_or_load(checkpointer, "", True, EQLSettings(), None)
    assert "\n" not in str(error.value) and (folder / "model_0000003.pth.tmp").exists()
    os.kill(other[0], signal.SIGSTOP)  # a run that hangs has not ended
    with pytest.raises(InputError, match="another run"), held(folder):
        pass
    os.kill(other[0], signal.SIGKILL)
    os.waitpid(other[0], 0)
    assert not resume_or_load(checkpointer, "", True, EQLSettings(), None)  # its worker still lives
    assert not (folder / "model_0000003.pth.tmp").exists()


def test_a_run_may_hold_its_folder_twice_and_holds_it_till_the_end(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    locks = []
    monkeypatch.setattr(fcntl, "lockf", lambda file, how: locks.append(file))
    with held(tmp_path / "run"):
        with held("run"):
            pass
        assert not locks[0].closed
    assert len(locks) == 1 and locks[0].closed
    with held("run"):
        assert len(locks) == 2


def test_where_a_file_system_has_no_locks_it_is_said(tmp_path, monkeypatch, warnings):
    def refuse(file, how):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "lockf", refuse)
    with held(tmp_path):
        (line,) = warnings
    assert line == (
        f"Two runs in {tmp_path} would not be noticed: its file system has no locks (No locks "
        "available)"
    )


def test_a_folder_that_cannot_be_written_to_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="^OUTPUT_DIR .* cannot be written to .*another folder$"):
        with held(tmp_path / "file/run"):
            pass


ELSEWHERE = "mine://bucket/run"
DOORS = {
    "run": lambda: held(ELSEWHERE).__enter__(),
    "checkpointer": lambda: EQLCheckpointer(nn.Linear(1, 1), ELSEWHERE),
    "evaluator": lambda: build_evaluator("lvis_v1_val", ELSEWHERE),
    "study": lambda: make_study({"runs": {"a": {}}, "seeds": [1], "output": ELSEWHERE}, "name"),
    "report": lambda: write_report(["."], ELSEWHERE),
    "file": lambda: write_json(ELSEWHERE, {}),
}


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
def test_what_is_written_elsewhere_is_refused_and_makes_no_local_folder(
    door, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=f"is '{ELSEWHERE}', and all is written to folders of"):
        door()
    assert not list(tmp_path.iterdir())
    assert output_folder._held == {}


def test_the_checks_of_both_kinds_of_configs_refuse_it():
    for key in ("OUTPUT_DIR", "train.output_dir"):
        (line,) = check_output_dir(key, ELSEWHERE)
        assert line.startswith(f"{key} is 'mine://bucket/run', and all is written to folders")

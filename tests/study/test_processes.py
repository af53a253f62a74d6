"""No process outlives a study, however it ends."""

import os
import signal
import subprocess
import sys
import time

import pytest

from eql_d2.study import processes
from eql_d2.study.plan import make_study
from eql_d2.study.processes import locked, start

PATIENCE = 900  # seconds: far more than it takes, also where other processes have the machine


def wait_for(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def is_alive(pid):
    """A zombie is not: where nobody collects it, it stays one."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def pids_of(paths):
    wait_for(lambda: all(path.exists() and path.read_text() for path in paths))
    return [int(path.read_text()) for path in paths]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])  # SIGKILL: test_study.py
def test_a_study_that_is_asked_to_end_takes_its_trials_along(content, start_fake_study, number):
    content["overrides"] = {"SOLVER.MAX_ITER": 60_000}  # longer than any test
    study = make_study(content, "toy")
    process = start_fake_study()
    pids = pids_of([trial.folder / "pid" for trial in study.trials[:2]])
    process.send_signal(number)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert errors.strip() == "stopped, and all trainings with it; the same command goes on"
    assert not any(map(is_alive, pids))
    with locked(study.output):
        assert not list(study.output.rglob("run.json"))


def test_a_trial_that_outlives_its_study_keeps_the_folder(tmp_path, monkeypatch):
    """Where a system does not end the children of a process that was killed."""
    monkeypatch.setattr(processes, "_LOCK_SECONDS", 0.2)
    code = "import time; print('started', flush=True); time.sleep(900)"
    with locked(tmp_path / "study") as lock:
        process = start([sys.executable, "-c", code], tmp_path / "log", lock, {})
        wait_for(lambda: (tmp_path / "log").read_text() == "started\n")
    try:
        with pytest.raises(processes.InputError, match="runs in"), locked(tmp_path / "study"):
            pass
    finally:
        process.kill()
        process.wait()
    with locked(tmp_path / "study"):
        pass


def test_a_child_of_a_process_that_ended_at_once_does_not_start(monkeypatch):
    monkeypatch.setattr(os, "getppid", lambda: 1)
    prepare = processes.end_with_parent()
    if prepare is None:
        pytest.skip("only Linux ends the children of a process that was killed")
    process = subprocess.Popen([sys.executable, "-c", "print('ran')"], preexec_fn=prepare)
    assert process.wait() == 1

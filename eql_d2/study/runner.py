"""Runs the trials of a study that are not finished, some at a time."""

import dataclasses
import functools
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from ..exceptions import InputError
from ..files import read_json, write_json
from ..versions import versions
from .data import generate
from .gpus import FreeGpus
from .inputs import fingerprint
from .machine import machine
from .plan import Study, Trial
from .processes import locked, start
from .progress import progress_for, progress_line
from .results import RUN_FILE, problem_of

_POLL_SECONDS = 0.2


def run_study(study: Study, *, anew: bool = False) -> None:
    """Run all trials that are not finished; one that fails does not keep the others from running.

    A finished trial has a ``run.json`` with exit 0 in its folder and is never run again. What an
    interrupted or failed one left is removed, and it starts again, so that the numbers are those
    of a study that was never interrupted.

    Args:
        study: what to run.
        anew: remove all earlier results first.

    Raises:
        InputError: the folder belongs to something else or another study runs in it; a trial was
            finished with other settings or other data, as they were changed while the study ran,
            too; it needs more GPUs than there are; the data cannot be generated.
    """
    with locked(study.output, empty=anew) as lock:
        waiting = [trial for trial in study.trials if not is_finished(trial)]
        if waiting and study.generated is not None:
            generate(study.generated)
        _check_inputs(study)
        if waiting:
            _Runner(study, waiting, lock).run()
            _check_inputs(study)


def is_finished(trial: Trial) -> bool:
    """Whether the trial has been run to its end.

    Raises:
        InputError: it has, with other settings.
    """
    path = trial.folder / RUN_FILE
    if not path.exists():
        return False
    record = read_json(path)
    if record["exit"] != 0:
        return False
    if record["fingerprint"] != trial.fingerprint:
        raise InputError(
            f"{trial.name} was finished with other settings than the study now has: name another "
            f"output, or delete {trial.folder.parent}"
        )
    return True


def _check_inputs(study: Study) -> None:
    """Refuse results of files that have changed since a trial began. Those that are gone cannot
    be compared, nor those that an earlier version did not note."""
    now: Callable[[str, bool], str] = functools.cache(fingerprint)
    for trial in filter(is_finished, study.trials):
        noted = read_json(trial.folder / RUN_FILE).get("inputs", {})
        for path, whole in trial.inputs:
            if path in noted and Path(path).exists() and now(path, whole) != noted[path]:
                raise InputError(
                    f"{trial.name} began before {path} was changed: put back what was there, name "
                    f"another output, or delete {trial.folder.parent}"
                )


@dataclasses.dataclass
class _Running:
    """A process, what was found when it began, and how many have run at a time since."""

    process: subprocess.Popen
    begun: float
    inputs: dict[str, str]
    at_a_time: int = 1


class _Runner:
    """State of a study that runs: `waiting`, then `running`, then `finished` or `failed`."""

    def __init__(self, study: Study, waiting: list[Trial], lock: int):
        self._study, self._lock = study, lock
        self._waiting = waiting
        self._finished = [trial for trial in study.trials if trial not in waiting]
        self._running: dict[Trial, _Running] = {}
        self._failed: list[Trial] = []
        self._gpus = FreeGpus(study)
        self._versions, self._machine = versions(), machine()
        self._progress = progress_for(sys.stdout)

    def run(self) -> None:
        self._begun = shown = time.monotonic()
        self._to_do = list(self._waiting)
        print(
            f"{len(self._waiting)} of {len(self._study.trials)} trainings and evaluations to do, "
            f"{self._study.jobs} at a time{self._gpus.words}; logs in "
            f"{self._study.output}/<run>/seed<k>/log",
            flush=True,
        )
        try:
            while self._waiting or self._running:
                self._start_ready()
                time.sleep(_POLL_SECONDS)
                self._collect()
                if self._running and time.monotonic() - shown >= self._progress.seconds:
                    shown = time.monotonic()
                    self._progress.show(self._progress_line())
        finally:
            self._progress.clear()
            # Killed, not asked: what they would save is removed anyhow.
            for running in self._running.values():
                running.process.kill()
                running.process.wait()

    def _start_ready(self) -> None:
        for trial in list(self._waiting):
            if trial.source in self._failed:
                self._waiting.remove(trial)
                self._failed.append(trial)
            elif (
                len(self._running) < self._study.jobs
                and (trial.source is None or trial.source in self._finished)
                and self._gpus.has_for(trial)
            ):
                self._waiting.remove(trial)
                self._start(trial)

    def _start(self, trial: Trial) -> None:
        if trial.folder.exists():
            shutil.rmtree(trial.folder)
        trial.folder.mkdir(parents=True)
        inputs = {
            path: fingerprint(path, whole) for path, whole in trial.inputs if Path(path).exists()
        }
        environment = self._gpus.take(trial)
        process = start(trial.command, trial.folder / "log", self._lock, environment)
        self._running[trial] = _Running(process, time.monotonic(), inputs)
        for running in self._running.values():
            running.at_a_time = max(running.at_a_time, len(self._running))

    def _collect(self) -> None:
        for trial, running in list(self._running.items()):
            exit_code = running.process.poll()
            if exit_code is None:
                continue
            content = {
                "command": trial.command,
                "fingerprint": trial.fingerprint,
                "exit": exit_code,
                "seconds": round(time.monotonic() - running.begun, 1),
                "at_a_time": running.at_a_time,
                "inputs": running.inputs,
                "versions": self._versions,
                "machine": self._machine,
            }
            write_json(trial.folder / RUN_FILE, content)
            del self._running[trial]
            self._gpus.give_back(trial)
            (self._failed if exit_code else self._finished).append(trial)
            if exit_code:
                self._progress.clear()
                print(f"{trial.name}: {problem_of(trial)}; the others go on", flush=True)

    def _progress_line(self) -> str:
        finished = [trial for trial in self._to_do if trial in self._finished]
        return progress_line(
            time.monotonic() - self._begun,
            len(self._finished),
            len(self._study.trials),
            list(self._running),
            sum(trial.max_iter for trial in finished),
            sum(trial.max_iter for trial in self._to_do if trial not in self._failed),
        )

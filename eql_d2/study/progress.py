"""How far a study is: what the line says, and how a terminal and a file show it."""

import math
import shutil
import textwrap
from collections.abc import Sequence
from typing import TextIO

import numpy as np

from ..report.metrics import read_metrics
from .plan import Trial


def progress_line(
    seconds: float, done: int, total: int, running: Sequence[Trial], steps: int, all_steps: int
) -> str:
    """The line: ``[ 123 s] 3 of 12 done, about 9 min left   focal/seed1 400/1600 loss 1.23``.

    The time that is left comes from what is finished, with start and evaluation; before that from
    the steps of what runs.

    Args:
        seconds: since this start of the study.
        done, total: trials.
        running: trials.
        steps: those of the trainings that this start has finished.
        all_steps: of all trainings that this start has to do.
    """
    states, times, finished = [], [], steps
    for trial in running:
        lines = [line for line in read_metrics(trial.folder).lines if "total_loss" in line]
        step = lines[-1]["iteration"] + 1 if lines else 0
        steps += step
        times += [line["time"] for line in lines if "time" in line]
        if step >= trial.max_iter:  # one that trains nothing, too
            state = "evaluating"
        else:
            state = f"{step}/{trial.max_iter} "
            state += f"loss {lines[-1]['total_loss']:.2f}" if lines else "starting"
        states.append(f"{trial.name} {state}")
    left = math.nan
    if finished:
        left = seconds * (all_steps / steps - 1)
    elif times:
        left = (all_steps - steps) * float(np.median(times)) / len(running)
    words = f", {_duration(left)} left" if left > 0 else ""
    return f"[{seconds:4.0f} s] {done} of {total} done{words}   {'   '.join(states)}"


class FileProgress:
    """A line of its own each time, for a log."""

    seconds = 10

    def __init__(self, stream: TextIO):
        self._stream = stream

    def show(self, line: str) -> None:
        print(line, file=self._stream, flush=True)

    def clear(self) -> None:
        """Call it before anything else is printed."""


class TerminalProgress(FileProgress):
    """The new line in the place of the one before, however narrow the terminal is."""

    seconds = 1
    _height = 0

    def show(self, line: str) -> None:
        self.clear()
        # Broken between the trainings: within what is said of one, spaces do not break.
        parts = (part.replace(" ", "\xa0") for part in line.split("   "))
        lines = textwrap.wrap("   ".join(parts), max(shutil.get_terminal_size().columns - 1, 20))
        text = "\n".join(lines).replace("\xa0", " ")
        print(text, end="", file=self._stream, flush=True)
        self._height = len(lines)

    def clear(self) -> None:
        """Remove the line. Call it before anything else is printed."""
        if self._height:
            up = "\x1b[A" * (self._height - 1)
            print(f"\r{up}\x1b[J", end="", file=self._stream, flush=True)
        self._height = 0


def progress_for(stream: TextIO) -> FileProgress:
    return TerminalProgress(stream) if stream.isatty() else FileProgress(stream)


def _duration(seconds: float) -> str:
    minutes = math.ceil(seconds / 60)
    return (
        f"about {minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"about {minutes} min"
    )

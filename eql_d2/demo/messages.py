"""What the demo says before and after: what will happen, how long it takes, where to look next."""

import math
from collections.abc import Sequence
from pathlib import Path

from .comparisons import Task

# More than the steps take in a short version: start, evaluation and page
_SHORT_MINUTES = 1


def opening(name: str, task: Task, iters: int, seed: int) -> str:
    """The plan, with the time that it takes.

    Args:
        name: of the task.
        task: it.
        iters: training steps.
        seed: of both trainings.
    """
    first, second = task.runs.values()
    lines = [
        f"Demo {name!r}: one model, trained twice on the same long-tailed data, with {first} and "
        f"with {second}",
        f"  1. data        {task.dataset}, generated once",
        f"  2. training    both side by side, {iters:,} steps, seed {seed}, one thread each",
        f"  3. evaluation  {task.metric} on the test images",
        "  4. page        a table, a figure and a report",
        f"In all about {_duration(_minutes(task, iters))} on 2 cores.",
    ]
    if note := too_short(name, task, iters):
        lines += ["", note]
    return "\n".join([*lines, ""])


def closing(name: str, task: Task, iters: int, files: dict[str, Path]) -> str:
    """Where to look next.

    Args:
        name, task, iters: as for :func:`opening`.
        files: what was written, by what it is.
    """
    configs = " and ".join(f"configs/{config}" for config in config_names(task))
    rows = {**files, "configs": f"{configs}; they differ in the loss alone"}
    rows["results"] = "docs/results.md, of several seeds"
    rows["own data"] = f'docs/own_data.md, "{task.chapter}"'
    lines = ["Where to look next:", *(f"  {what + ':':<10}{where}" for what, where in rows.items())]
    note = too_short(name, task, iters)
    return "\n".join([note, "", *lines] if note else lines)


def too_short(name: str, task: Task, iters: int) -> str:
    """That so few steps show nothing, and what would; "" if they are as many as the task needs."""
    if iters >= task.iters:
        return ""
    command = "make demo" + (f" TASK={name}" if name != "twostage" else "")
    return (
        f"Short version: {short_title(task, iters)}. It shows what the demo does and leaves; its "
        "numbers say nothing about the losses. "
        f"SOLVER.MAX_ITER of the configs is {task.iters:,}: {command} takes about "
        f"{_duration(task.minutes)}."
    )


def short_title(task: Task, iters: int) -> str:
    """The number of steps, and that they are too few."""
    return f"{iters:,} of {task.iters:,} steps are too few to show the effect"


def config_names(task: Task) -> Sequence[str]:
    """Config of each run, as :func:`~eql_d2.model_zoo.get_config_file` takes it."""
    return [f"Demo/{task.dataset}_{run}.yaml" for run in task.runs]


def _minutes(task: Task, iters: int) -> int:
    share = math.ceil(task.minutes * iters / task.iters)
    return share + (_SHORT_MINUTES if iters < task.iters else 0)


def _duration(minutes: int) -> str:
    return f"{minutes} minute{'s' if minutes > 1 else ''}"

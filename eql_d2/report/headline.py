"""The first table of the page: results by frequency group, and how they differ between runs."""

import math
from collections.abc import Sequence

import numpy as np

from ..tasks import ALL, TASKS
from .run import Run, categories_of, scores_of

_RESULTS = {name: words for task in TASKS for name, words in task.results.items()}
_METRICS = {metric: words for task in TASKS for metric, words in task.metrics.items()}
_TITLE = "last evaluation, in percent"


def headline(runs: Sequence[Run]) -> tuple[list[str], list[list[str]]]:
    """Header and rows: results of the last evaluation of each run, and changes from the first.

    One or two runs have a column each; of more each has a row. What only some runs have is shown
    as "–".
    """
    metrics = _metrics(runs)
    if len(runs) > 2:
        first = runs[0].metrics
        rows = [[runs[0].name, *(_text(first.get(key, math.nan)) for key in metrics)]]
        for run in runs[1:]:
            values = (run.metrics.get(key, math.nan) for key in metrics)
            changes = (_with_change(x, first.get(key, math.nan)) for x, key in zip(values, metrics))
            rows.append([run.name, *changes])
        return [_TITLE, *metrics.values()], rows if metrics else []
    rows = []
    for key, words in metrics.items():
        first, *others = (run.metrics.get(key, math.nan) for run in runs)
        row = [words, _text(first)]
        for value in others:
            row += [_text(value), _text(value - first, "+")]
        rows.append(row)
    header = [_TITLE, runs[0].name]
    for run in runs[1:]:
        header += [run.name, "change"]
    return header, rows


def _metrics(runs: Sequence[Run]) -> dict[str, str]:
    """Words of each metric that is shown, by its key."""
    keys = dict.fromkeys(key for run in runs for key in run.metrics)
    shown = {}
    for prefix in dict.fromkeys(key.rpartition("/")[0] for key in keys):
        sizes = _sizes(runs, prefix)
        for metric, (words, group) in _METRICS.items():
            key = f"{prefix}/{metric}"
            if key in keys:
                shown[key] = f"{task_words(prefix)} {words}{sizes.get(group, '')}".strip()
    return shown


def _sizes(runs: Sequence[Run], task: str) -> dict[str, str]:
    """How many categories the means of a group are over, " (3 of 12 tested)", by the group; nothing
    for all of them where all are tested."""
    run = next((run for run in runs if task in run.tables), None)
    run = run or next((run for run in runs if run.record), None)
    if run is None:
        return {}
    groups = [row["group"] for row in categories_of(run, task)]
    are_tested = np.ones(len(groups), dtype=bool)
    if task in run.tables:
        are_tested = np.isfinite(scores_of(run.tables[task]))
    sizes = {}
    for group in {*groups, ALL} - {None}:
        found = are_tested[[group in (name, ALL) for name in groups]]
        if not found.all():
            sizes[group] = f" ({found.sum()} of {len(found)} tested)"
        elif group != ALL:
            sizes[group] = f" ({len(found)})"
    return sizes


def task_words(task: str) -> str:
    """In words, before the name of a score: "box" of "bbox", "my_val mask" of "my_val/segm"."""
    dataset, _, name = task.rpartition("/")
    return f"{dataset} {_RESULTS.get(name, name)}".strip()


def _with_change(value: float, first: float) -> str:
    change = f" ({_text(value - first, '+')})" if math.isfinite(value - first) else ""
    return _text(value) + change


def _text(value: float, sign: str = "") -> str:
    return f"{value:{sign}.1f}".replace("-", "−") if math.isfinite(value) else "–"

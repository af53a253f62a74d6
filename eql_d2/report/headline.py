"""The first table of the page: results by frequency group, and how they differ between runs."""

import math
from collections import Counter
from collections.abc import Sequence

from ..tasks import TASKS
from .run import Run

_RESULTS = {name: words for task in TASKS for name, words in task.results.items()}
_METRICS = {metric: words for task in TASKS for metric, words in task.metrics.items()}


def headline(runs: Sequence[Run]) -> tuple[list[str], list[list[str]]]:
    """Header and rows: results of the last evaluation of each run, and changes from the first.

    What only some runs have is shown as "–".
    """
    record = next((run.record for run in runs if run.record), None)
    sizes = Counter(category["group"] for category in record.categories) if record else {}
    keys = dict.fromkeys(key for run in runs for key in run.metrics)
    rows = []
    for prefix in dict.fromkeys(key.rpartition("/")[0] for key in keys):
        for metric, (words, group) in _METRICS.items():
            key = f"{prefix}/{metric}"
            if key not in keys:
                continue
            size = f" ({sizes[group]})" if sizes.get(group) else ""
            first, *others = (run.metrics.get(key, math.nan) for run in runs)
            row = [f"{task_words(prefix)} {words}{size}".strip(), _text(first)]
            for value in others:
                row += [_text(value), _text(value - first, "+")]
            rows.append(row)
    header = ["last evaluation, in percent", runs[0].name]
    for run in runs[1:]:
        header += [run.name, "change"]
    return header, rows


def task_words(task: str) -> str:
    """In words, before the name of a score: "box" of "bbox", "my_val mask" of "my_val/segm"."""
    dataset, _, name = task.rpartition("/")
    return f"{dataset} {_RESULTS.get(name, name)}".strip()


def _text(value: float, sign: str = "") -> str:
    return f"{value:{sign}.1f}".replace("-", "−") if math.isfinite(value) else "–"

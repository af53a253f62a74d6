"""The first table of the page: results by frequency group, and how they differ between runs."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from ..data import GROUP_NAMES
from ..tasks import TASKS
from .run import Run

_RESULTS = {name: words for task in TASKS for name, words in task.results.items()}
_METRICS = {metric: words for task in TASKS for metric, words in task.metrics.items()}


class Result(NamedTuple):
    """A row of the table, as text.

    Attributes:
        label: what is measured.
        values: of each run.
        changes: of each run but the first, against the first.
    """

    label: str
    values: list[str]
    changes: list[str]


def headline(runs: Sequence[Run]) -> list[Result]:
    """Results of the last evaluation of each run; what only some runs have is shown as "–"."""
    record = next((run.record for run in runs if run.record), None)
    sizes = Counter(category["group"] for category in record.categories) if record else {}
    keys = dict.fromkeys(key for run in runs for key in run.metrics)
    prefixes = dict.fromkeys(key.rpartition("/")[0] for key in keys)
    rows = []
    for prefix in prefixes:
        for metric, (words, group) in _METRICS.items():
            if f"{prefix}/{metric}" not in keys:
                continue
            size = f" ({sizes[group]})" if sizes.get(group) else ""
            values = [run.metrics.get(f"{prefix}/{metric}", math.nan) for run in runs]
            changes = [value - values[0] for value in values[1:]]
            rows.append(
                Result(
                    f"{task_words(prefix)} {words}{size}".strip(),
                    [_text(value, "{:.1f}") for value in values],
                    [_text(change, "{:+.1f}") for change in changes],
                )
            )
    return rows


def group_sizes(run: Run) -> str:
    """How many categories a run has in each group, in words."""
    sizes = Counter(category["group"] for category in run.record.categories)
    parts = [
        f"{sizes[group]:,} {name}" for group, name in reversed(GROUP_NAMES.items()) if sizes[group]
    ]
    return f"{len(run.record.categories):,}: {', '.join(parts)}"


def task_words(task: str) -> str:
    """In words, before the name of a score: "box" of "bbox", "my_val mask" of "my_val/segm"."""
    dataset, _, name = task.rpartition("/")
    return f"{dataset} {_RESULTS.get(name, name)}".strip()


def _text(value: float, form: str) -> str:
    return form.format(value).replace("-", "−") if math.isfinite(value) else "–"

"""The first table of the page: results by frequency group, and how they differ between runs."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from .drawing import GROUPS
from .run import Run

_TASKS = {"bbox": "box", "segm": "mask", "classification": "", "sem_seg": ""}
# Metrics in the order of the table: words, and the group whose size is known.
_METRICS = {
    "AP": ("AP", None),
    "APr": ("AP rare", "r"),
    "APc": ("AP common", "c"),
    "APf": ("AP frequent", "f"),
    "APFixed": ("AP-Fixed", None),
    "APFixedr": ("AP-Fixed rare", "r"),
    "APFixedc": ("AP-Fixed common", "c"),
    "APFixedf": ("AP-Fixed frequent", "f"),
    "AP50": ("AP at IoU 0.5", None),
    "AP75": ("AP at IoU 0.75", None),
    **{f"AP50_{i}": (f"AP at IoU 0.5, group {i} of 5 (1: rarest)", None) for i in range(1, 6)},
    "top1": ("top-1 accuracy", None),
    "top5": ("top-5 accuracy", None),
    "mean_class": ("mean accuracy of the classes", None),
    "few": ("accuracy few-shot", "r"),
    "medium": ("accuracy medium-shot", "c"),
    "many": ("accuracy many-shot", "f"),
    "mIoU": ("mIoU", None),
    "mIoU_tail": ("mIoU tail", None),
    "mIoU_common": ("mIoU common", None),
    "mIoU_head": ("mIoU head", None),
    "mACC": ("mean accuracy of the classes", None),
    "pACC": ("accuracy of the pixels", None),
}


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
    parts = [f"{sizes[group]:,} {name}" for group, name in reversed(GROUPS.items()) if sizes[group]]
    return f"{len(run.record.categories):,}: {', '.join(parts)}"


def task_words(task: str) -> str:
    """In words, before the name of a score: "box" of "bbox", "my_val mask" of "my_val/segm"."""
    dataset, _, name = task.rpartition("/")
    return f"{dataset} {_TASKS.get(name, name)}".strip()


def _text(value: float, form: str) -> str:
    return form.format(value).replace("-", "−") if math.isfinite(value) else "–"

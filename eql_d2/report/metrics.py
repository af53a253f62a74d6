"""The lines of ``metrics.json``, which Detectron2 and evaluations write: numbers by their names."""

import json
from pathlib import Path
from typing import NamedTuple


class MetricLines(NamedTuple):
    """What is in a ``metrics.json``.

    Attributes:
        lines: of it, without the damaged ones.
        damaged: numbers, from 1, of lines that are not complete, or being written, or hold
            something else than numbers.
    """

    lines: list[dict[str, float]]
    damaged: list[int]


def read_metrics(folder: Path) -> MetricLines:
    """Read the file of an ``OUTPUT_DIR``; without a line if it is not there."""
    path = folder / "metrics.json"
    found = MetricLines([], [])
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            values = json.loads(line)
        except (ValueError, RecursionError):
            values = None
        if _is_of_numbers(values):
            found.lines.append(values)
        else:
            found.damaged.append(number)
    return found


def _is_of_numbers(values: object) -> bool:
    if not isinstance(values, dict) or type(values.get("iteration", 0)) is not int:
        return False
    return all(isinstance(value, int | float) for value in values.values())

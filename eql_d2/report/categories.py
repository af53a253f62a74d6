"""The table of all categories: columns and values, for the script of the page to show."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..data import GROUP_NAMES
from .drawing import category_order, loss_record
from .headline import task_words
from .run import Run, score_name


class Column(NamedTuple):
    """A column of the table.

    Attributes:
        title: of the column.
        kind: how values are shown: "text", "count", "number" (3 digits), "score" (1 decimal) or
            "change" (1 decimal, with sign).
        values: of the categories in the order of the table; None where not known.
    """

    title: str
    kind: str
    values: list


class TableOfCategories(NamedTuple):
    """The table, column by column, rarest category first.

    Attributes:
        common: columns that do not depend on the run.
        of_runs: name and columns of each run.
    """

    common: list[Column]
    of_runs: list[tuple[str, list[Column]]]

    @property
    def columns(self) -> list[Column]:
        return [*self.common, *(column for _, columns in self.of_runs for column in columns)]

    def for_script(self) -> dict:
        """What ``categories.js`` reads."""
        return {
            "kinds": [column.kind for column in self.columns],
            "rows": list(zip(*(column.values for column in self.columns))),
        }


def table_of_categories(runs: Sequence[Run], problems: list[str]) -> TableOfCategories | None:
    """Table of the categories of the first run that has any; None if none has.

    Args:
        runs: those of other categories are left out, which is added to `problems`.
        problems: lines about what the page does not show.
    """
    shown = [run for run in runs if run.record or run.tables]
    if not shown:
        return None
    categories = _categories(shown[0])
    names = [category["name"] for category in categories]
    for run in list(shown):
        if [category["name"] for category in _categories(run)] != names:
            shown.remove(run)
            problems.append(
                f"{run.name} is not in the table of categories: its categories are not those of "
                f"{shown[0].name}"
            )
    order = category_order(categories)[::-1]
    groups = [
        GROUP_NAMES.get(category["group"], category["group"] or "–") for category in categories
    ]
    common = [
        Column("category", "text", _ordered([str(name) for name in names], order)),
        Column("group", "text", _ordered(groups, order)),
        Column("images", "count", _ordered([c["image_count"] for c in categories], order)),
        Column("instances", "count", _ordered([c["instance_count"] for c in categories], order)),
    ]
    of_runs = [(run.name, _columns(run, shown[0], order)) for run in shown]
    return TableOfCategories(common, of_runs)


def _categories(run: Run) -> list[dict]:
    """Name, group and training counts of each category; the tables count test instances."""
    keys = ("name", "group", "image_count", "instance_count")
    if run.record is not None:
        return [{key: row.get(key) for key in keys} for row in run.record.categories]
    table = next(iter(run.tables.values()))
    return [{key: row.get(key) for key in keys[:3]} | {"instance_count": None} for row in table]


def _columns(run: Run, baseline: Run, order: np.ndarray) -> list[Column]:
    columns = []
    if run.record is not None:
        values = loss_record(run, None)
        for title, array in (
            ("positive gradient", values.pos_grad),
            ("negative gradient", values.neg_grad),
            ("ratio", values.ratio),
        ):
            columns.append(Column(title, "number", [_digits(x, 4) for x in array[-1][order]]))
    for task, table in run.tables.items():
        words = f"{task_words(task)} {score_name(table)}".strip()
        if len(table) != len(order):
            continue
        columns.append(Column(words, "score", [_digits(x, 5) for x in _scores(table)[order]]))
        first = baseline.tables.get(task, ())
        if run is not baseline and len(first) == len(table):
            change = _scores(table) - _scores(first)
            values = [_digits(x, 5) for x in change[order]]
            title = f"change of {words}" if len(run.tables) > 1 else "change"
            columns.append(Column(title, "change", values))
    return columns


def _scores(table: list[dict]) -> np.ndarray:
    return np.array([row.get(score_name(table)) for row in table], dtype=float)


def _ordered(values: Sequence, order: np.ndarray) -> list:
    return [values[index] for index in order]


def _digits(value: float, digits: int) -> float | None:
    """Rounded, which makes the page half as large; None for what JSON does not have."""
    return float(f"{value:.{digits}g}") if math.isfinite(value) else None

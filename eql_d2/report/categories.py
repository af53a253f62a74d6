"""The table of all categories: columns and values, for the script of the page to show."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from .drawing import category_order, loss_record
from .headline import task_words
from .run import Run, categories_of, group_names, score_name, scores_of


class Column(NamedTuple):
    """A column of the table.

    Attributes:
        title: of the column.
        kind: how values are shown: "text", "count", "number" (3 digits), "score" (1 decimal) or
            "change" (1 decimal, with sign).
        values: by class index; None where not known.
    """

    title: str
    kind: str
    values: list


class TableOfCategories(NamedTuple):
    """The table, column by column.

    Attributes:
        categories: ``{"name", "group", "image_count", "instance_count"}`` by class index.
        group_names: of the task, by the keys of the groups.
        of_runs: name and columns of each run.
    """

    categories: list[dict]
    group_names: Mapping[str, str]
    of_runs: list[tuple[str, list[Column]]]

    @property
    def common(self) -> list[Column]:
        """Columns that do not depend on the run."""
        names = [str(row["name"]) for row in self.categories]
        groups = [self.group_names.get(row["group"], "–") for row in self.categories]
        columns = [Column("category", "text", names), Column("group", "text", groups)]
        for title, key in (("images", "image_count"), ("instances", "instance_count")):
            counts = [row[key] for row in self.categories]
            if any(count is not None for count in counts):
                columns.append(Column(title, "count", counts))
        return columns

    @property
    def has_untested(self) -> bool:
        """Whether a category has no score."""
        scores = (c.values for _, columns in self.of_runs for c in columns if c.kind == "score")
        return any(None in values for values in scores)

    def for_script(self) -> dict:
        """What ``categories.js`` reads: rarest category first."""
        columns = [*self.common, *(column for _, columns in self.of_runs for column in columns)]
        rows = list(zip(*(column.values for column in columns)))
        order = category_order(self.categories)[::-1]
        return {"kinds": [column.kind for column in columns], "rows": [rows[i] for i in order]}


def table_of_categories(runs: Sequence[Run], problems: list[str]) -> TableOfCategories | None:
    """Table of the categories of the first run that has any; None if none has.

    Args:
        runs: those of other categories are left out, which is added to `problems`.
        problems: lines about what the page does not show.
    """
    shown = [run for run in runs if run.record or run.tables]
    if not shown:
        return None
    table = TableOfCategories(categories_of(shown[0]), group_names(shown[0]), [])
    names = [category["name"] for category in table.categories]
    for run in shown:
        if [category["name"] for category in categories_of(run)] == names:
            columns = _columns(run, shown[0], len(names))
            if len(runs) > 2:  # of each as much as a page of paper has room for
                columns = [c for c in columns if c.title == "ratio" or c.kind == "score"]
            table.of_runs.append((run.name, columns))
        else:
            problems.append(
                f"{run.name} is not in the table of categories: its categories are not those of "
                f"{shown[0].name}"
            )
    return table


def rounded(title: str, kind: str, values: np.ndarray, digits: int) -> Column:
    """Column of numbers (C,): digits cut make the page half as large, and JSON has no nan."""
    numbers = [float(f"{x:.{digits}g}") if math.isfinite(x) else None for x in values]
    return Column(title, kind, numbers)


def _columns(run: Run, baseline: Run, size: int) -> list[Column]:
    columns = []
    if run.record is not None:
        titles = ("positive gradient", "negative gradient", "ratio")
        for title, values in zip(titles, loss_record(run)):
            columns.append(rounded(title, "number", values[-1], 4))
    for task, table in run.tables.items():
        if len(table) != size:
            continue
        words = f"{task_words(task)} {score_name(table)}".strip()
        columns.append(rounded(words, "score", scores_of(table), 5))
        first = baseline.tables.get(task, ())
        if run is not baseline and len(first) == size:
            title = f"change of {words}" if len(run.tables) > 1 else "change"
            columns.append(rounded(title, "change", scores_of(table) - scores_of(first), 5))
    return columns

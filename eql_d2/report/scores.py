"""Figures of the scores: AP, accuracy or IoU of the categories, of one run and between runs.

Each function takes runs that have a table of the task and returns a :class:`ReportFigure`.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..exceptions import InputError
from .drawing import (
    GROUP_STYLES,
    SMOOTHED_FROM,
    Curve,
    ReportFigure,
    draw_categories,
    legend_below,
    loss_record,
    members,
    outline,
    panels,
    run_style,
    smooth,
    text,
    tidy,
)
from .headline import task_words
from .run import Run, categories_of, group_names, score_name, scores_of

# By the keys of the groups: those of LVIS, the five of Open Images, and what has no image
_MARKERS = ("o", "s", "^", "o", "D", "s", "v", "^", "x")
_GROUP_MARKERS = {
    group: (color, marker) for (group, (color, _)), marker in zip(GROUP_STYLES.items(), _MARKERS)
}


def score_by_image_count(
    runs: Sequence[Run], task: str | None = None, loss: str | None = None
) -> ReportFigure:
    """Score of each category against its training images, coloured by the gradient ratio.

    Args:
        runs: with a table each; those without a record get grey points.
        task: of the tables, for example ``"bbox"``; None for the first of the first run.
        loss: path of the loss; None for the last of each run.

    Raises:
        InputError: a run has no table of the task, one of other categories than its record, or no
            image counts.
    """
    task = task or next(iter(runs[0].tables))
    name, _ = category_scores(runs[0], task)
    score_words = f"{task_words(task)} {name}".strip()
    figure, axes = panels([run.name for run in runs], score_words)
    sentences, points = [], None
    for axis, run in zip(axes, runs):
        score = category_scores(run, task)[1]
        counts = [category["image_count"] for category in categories_of(run, task)]
        if None in counts:
            raise InputError(f"the training images of the categories of {run.name} are not known")
        count = np.array(counts)
        color = {"color": "0.45"}
        if run.record is not None:
            ratio = np.minimum(loss_record(run, loss).ratio[-1], 1)
            color = {"c": ratio, "cmap": "viridis", "vmin": 0, "vmax": 1}
        size = 24 if len(score) < 60 else 14 if len(score) < 3000 else 6
        style = {"s": size, "linewidths": size / 50, "edgecolors": "0.35", "rasterized": True}
        drawn = axis.scatter(count, score, **style, **color)
        points = drawn if run.record is not None else points
        order = np.argsort(count, kind="stable")
        if len(score) >= SMOOTHED_FROM:
            _draw_mean(axis, count[order], score[order])
        # Linear below 1: a category may have no image at all.
        axis.set_xscale("symlog", linthresh=1)
        axis.set_xlim(left=0 if count.min() == 0 else 0.8 * count.min())
        axis.set_xlabel("training images")
        low, high = (_mean(half) for half in np.array_split(score[order], 2))
        sentences.append(f"{run.name}: {_text(low)} and {_text(high)}")
    legend_below(figure, axes)
    if points is not None:
        figure.colorbar(points, ax=axes, label="gradient ratio (1 and more: 1)")
    return ReportFigure(
        f"score-by-image-count-{task}",
        f"{score_words} and training images",
        f"{score_words} of each category against its training images. Mean of the half with fewer "
        f"images and of that with more: {'; '.join(sentences)}.",
        figure,
    )


def compare_runs(runs: Sequence[Run], task: str | None = None) -> ReportFigure:
    """Mean score of the groups in each run, and each category against the first run.

    Args:
        runs: two or more with a table each; the first is the baseline.
        task: of the tables, for example ``"bbox"``; None for the first of the first run.

    Raises:
        InputError: a run has no table of the task, or one of other categories.
    """
    task = task or next(iter(runs[0].tables))
    scores = [category_scores(run, task)[1] for run in runs]
    for run in runs[1:]:
        if [row["name"] for row in run.tables[task]] != [c["name"] for c in runs[0].tables[task]]:
            raise InputError(
                f"{run.name} and {runs[0].name} are scored on different categories in {task}: "
                "compare runs on the same data"
            )
    name, categories = score_name(runs[0].tables[task]), categories_of(runs[0], task)
    names, score_words = group_names(runs[0], task), f"{task_words(task)} {name}".strip()
    groups = {"all": np.arange(len(categories))} | members(categories)
    means = [{group: _mean(score[index]) for group, index in groups.items()} for score in scores]
    changes = [score - scores[0] for score in scores[1:]]
    words = {"all": "all"} | {group: names[group] for group in groups if group != "all"}
    draw = _draw_pair if len(runs) == 2 else _draw_several
    figure, points = draw([run.name for run in runs], words, means, score_words)
    curves = []
    for index, (run, change) in enumerate(zip(runs[1:], changes), start=1):
        label = text(run.name) if len(runs) > 2 else ""
        curves.append(Curve(change, run_style(index)[0], label, run_style(index)[1], not label))
    draw_categories(points, categories, names, curves)
    points.axhline(0, color=run_style(0)[0], linewidth=1)
    points.set_ylabel(f"change of {score_words}")
    tidy(points)
    if len(runs) > 2:
        points.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=9, frameon=False)
    sentences = []
    for run, mean, change in zip(runs[1:], means[1:], changes):
        by_group = (f"{words[k]} {_text(mean[k] - means[0][k], '+')}" for k in groups)
        better, known = np.sum(change > 0), np.sum(np.isfinite(change))
        better = f"{better} of {known} categories are better"
        sentences.append(f"{run.name}: {', '.join(by_group)}; {better}")
    return ReportFigure(
        f"comparison-{task}",
        f"{score_words} against {runs[0].name}",
        f"{score_words} against {runs[0].name}, whose means are "
        + ", ".join(f"{words[key]} {_text(value)}" for key, value in means[0].items())
        + f". Difference of {'. '.join(sentences)}.",
        figure,
    )


def category_scores(run: Run, task: str) -> tuple[str, np.ndarray]:
    """Name of the score, and its value for each category, nan where there is none.

    Raises:
        InputError: the run has no such table, or one of other categories than its record.
    """
    table = run.tables.get(task)
    if not table:
        raise InputError(
            f"{run.name} has no scores of {task!r}: it has {', '.join(run.tables) or 'none'}"
        )
    if run.record is not None and len(run.record.categories) != len(table):
        raise InputError(
            f"{run.name} is scored on {len(table)} categories in {task}, but its gradient record "
            f"has {len(run.record.categories)}: they are not of one training"
        )
    return score_name(table), scores_of(table)


def _mean(values: np.ndarray) -> float:
    return float(np.mean(values[np.isfinite(values)])) if np.isfinite(values).any() else np.nan


def _draw_mean(axis: Axes, count: np.ndarray, score: np.ndarray) -> None:
    positions, mean = smooth(score)
    x, place = np.unique(count[positions], return_inverse=True)
    mean = np.bincount(place, mean) / np.bincount(place)  # one value where counts are equal
    axis.plot(x, mean, color="black", label="running mean", **outline(len(score)))


def _text(value: float, sign: str = "") -> str:
    return f"{value:{sign}.1f}" if np.isfinite(value) else "without score"


def _draw_pair(
    runs: Sequence[str], groups: Mapping[str, str], means: Sequence[Mapping], score: str
) -> tuple[Figure, Axes]:
    """Bars of both runs for each group; the axes are for what differs by category."""
    figure = Figure(figsize=(9.4, 4), layout="constrained")
    bars, points = figure.subplots(1, 2, width_ratios=(1, 1.2))
    for index, (name, mean) in enumerate(zip(runs, means)):
        x = np.arange(len(groups)) + (index - 0.5) * 0.4
        values = [mean[group] for group in groups]
        drawn = bars.bar(x, values, 0.4, color=run_style(index)[0], label=text(name))
        known = [f"{value:.1f}" if np.isfinite(value) else "" for value in values]
        bars.bar_label(drawn, known, fontsize=9)
    bars.set_xticks(range(len(groups)), groups.values())
    bars.set_ylabel(f"{score}, mean of the categories")
    tidy(bars)
    bars.grid(visible=False, axis="x")
    figure.legend(handles=bars.containers, loc="outside lower center", ncols=2, fontsize=9)
    return figure, points


def _draw_several(
    runs: Sequence[str], groups: Mapping[str, str], means: Sequence[Mapping], score: str
) -> tuple[Figure, Axes]:
    """A row of markers for each run, one for each group; the axes are for what differs by
    category."""
    heights = 0.26 * len(runs) + 0.9, max(3.4, 0.2 * len(runs) + 1)
    figure = Figure(figsize=(9.4, sum(heights)), layout="constrained")
    rows, points = figure.subplots(2, 1, height_ratios=heights)
    for group, name in groups.items():
        color, marker = ("#000000", "|") if group == "all" else _GROUP_MARKERS[group]
        values = [mean[group] for mean in means]
        rows.plot(values, range(len(runs)), marker, color=color, markersize=8, label=name)
    rows.set_yticks(range(len(runs)), [text(name) for name in runs], fontsize=9)
    rows.set_ylim(len(runs) - 0.5, -0.5)  # the baseline on top
    rows.set_xlabel(f"{score}, mean of the categories")
    tidy(rows)
    rows.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=9, frameon=False)
    return figure, points

"""Figures of the scores: AP, accuracy or IoU of the categories, of one run and between runs.

Each function takes runs that have a table of the task and returns a :class:`ReportFigure`.
"""

from collections.abc import Sequence
from itertools import chain, cycle

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..exceptions import InputError
from .drawing import (
    RUN_COLORS,
    SMOOTHED_FROM,
    ReportFigure,
    draw_categories,
    loss_record,
    members,
    outline,
    panels,
    smooth,
    text,
    tidy,
)
from .run import Run, categories_of, score_name, scores_of


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
    figure, axes = panels([run.name for run in runs], f"{task} {name}")
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
        sentences.append(f"{run.name}: {low:.1f} and {high:.1f}")
    if points is not None:
        figure.colorbar(points, ax=axes, label="gradient ratio (1 and more: 1)")
    return ReportFigure(
        f"score-by-image-count-{task}",
        f"{task} {name} and training images",
        f"{task} {name} of each category against its training images. Mean of the half with fewer "
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
    figure = Figure(figsize=(9.4, 4), layout="constrained")
    bars, points = figure.subplots(1, 2, width_ratios=(1, 1.2))
    groups = {"all": np.arange(len(categories))} | members(categories)
    means = [{group: _mean(score[index]) for group, index in groups.items()} for score in scores]
    _draw_bars(bars, [run.name for run in runs], means)
    bars.set_ylabel(f"{task} {name}, mean of the categories")
    tidy(bars)
    bars.grid(visible=False, axis="x")
    tidy(points)

    points.axhline(0, color=RUN_COLORS[0], linewidth=1)
    curves, sentences = [], []
    for run, score, mean, color in zip(runs[1:], scores[1:], means[1:], cycle(RUN_COLORS[1:])):
        change = score - scores[0]
        curves.append((change, color, ""))
        changes = ", ".join(f"{group} {mean[group] - means[0][group]:+.1f}" for group in groups)
        better, known = np.sum(change > 0), np.sum(np.isfinite(change))
        sentences.append(f"{run.name}: {changes}; {better} of {known} categories are better")
    draw_categories(points, categories, curves)
    points.set_ylabel(f"change of {task} {name}")
    figure.legend(handles=bars.containers, loc="outside lower center", ncols=2, fontsize=9)
    return ReportFigure(
        f"comparison-{task}",
        f"{task} {name} against {runs[0].name}",
        f"{task} {name} against {runs[0].name}, whose means are "
        + ", ".join(f"{key} {value:.1f}" for key, value in means[0].items())
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
    axis.legend(fontsize=9)


def _draw_bars(axis: Axes, names: Sequence[str], means: Sequence[dict[str, float]]) -> None:
    width = 0.8 / len(names)
    # The baseline black, the others in turn
    colors = chain(RUN_COLORS[:1], cycle(RUN_COLORS[1:]))
    for index, (name, mean, color) in enumerate(zip(names, means, colors)):
        x = np.arange(len(mean)) + (index - (len(names) - 1) / 2) * width
        drawn = axis.bar(x, mean.values(), width, color=color, label=text(name))
        if len(names) <= 2:  # more have no room
            axis.bar_label(drawn, fmt="%.1f", fontsize=9)
    axis.set_xticks(range(len(means[0])), means[0].keys())

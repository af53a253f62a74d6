"""Figures of one or several runs: how balanced the gradients of the categories are.

Each function takes runs that have a record and returns a :class:`ReportFigure`; with several runs
each has its panel, all with the same y axis. The scores of the categories: ``scores.py``.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps

from .drawing import (
    BLUE,
    GROUP_STYLES,
    VERMILLION,
    Curve,
    ReportFigure,
    draw_categories,
    drawn_ratio,
    even_rows,
    legend_below,
    loss_record,
    members,
    panels,
    show_from_zero_to_balance,
)
from .run import Run, group_names
from .scores import compare_runs, score_by_image_count

__all__ = [
    "compare_runs",
    "gradients_by_category",
    "ratio_by_frequency",
    "ratio_over_time",
    "score_by_image_count",
]

# Rows of a record of which a line over time is made
_MOST_ROWS = 300


def ratio_by_frequency(
    runs: Sequence[Run], loss: str | None = None, iterations: Sequence[int] | None = None
) -> ReportFigure:
    """Gradient ratio of the categories from frequent to rare at some iterations, raw and smoothed.

    Args:
        runs: with a record each.
        loss: path of the loss; None for the last of each run.
        iterations: those whose nearest rows are drawn; None for the first, the last and two
            between.
    """
    figure, axes = panels([run.name for run in runs], "gradient ratio")
    sentences = []
    for axis, run in zip(axes, runs):
        categories, values = run.record.categories, loss_record(run, loss)
        rows = _chosen_rows(run.record.iterations, iterations)
        colors = colormaps["viridis"](np.linspace(0, 0.85, len(rows)))[::-1]  # the last is dark
        labels = [f"{iteration:,}" for iteration in run.record.iterations[rows]]
        names, curves = group_names(run), map(Curve, drawn_ratio(values)[rows], colors, labels)
        draw_categories(axis, categories, names, curves)
        last = np.minimum(values.ratio[rows[-1]], 1)  # as in the scalars
        groups = members(categories).items()
        means = [f"{names[group]} {last[index].mean():.2f}" for group, index in groups]
        sentences.append(f"{run.name}, at iteration {labels[-1]}: {', '.join(means)}")
    legend_below(figure, axes, "iteration")
    show_from_zero_to_balance(axes[0])
    return ReportFigure(
        "ratio-by-frequency",
        "Gradient ratio of the categories",
        "Gradient ratio of the categories, the most frequent first. Mean of the groups: "
        f"{'; '.join(sentences)}.",
        figure,
    )


def gradients_by_category(runs: Sequence[Run], loss: str | None = None) -> ReportFigure:
    """Accumulated positive and negative gradients at the end, from frequent to rare, log scale.

    Args:
        runs: with a record each.
        loss: path of the loss; None for the last of each run.
    """
    figure, axes = panels([run.name for run in runs], "accumulated gradient")
    sentences = []
    for axis, run in zip(axes, runs):
        categories, values = run.record.categories, loss_record(run, loss)
        positive, negative = values.pos_grad[-1], values.neg_grad[-1]
        curves = Curve(positive, BLUE, "positive"), Curve(negative, VERMILLION, "negative")
        names = group_names(run)
        draw_categories(axis, categories, names, curves, log=True)
        words = [
            f"{names[group]} {_imbalance(positive[index], negative[index])}"
            for group, index in members(categories).items()
        ]
        sentences.append(f"{run.name}: {', '.join(words)}")
    legend_below(figure, axes)
    return ReportFigure(
        "gradients-by-category",
        "Accumulated positive and negative gradients",
        "Gradients of each category, added up over the training, most frequent first. Median of "
        f"negative over positive: {'; '.join(sentences)}.",
        figure,
    )


def ratio_over_time(runs: Sequence[Run], loss: str | None = None) -> ReportFigure:
    """Median gradient ratio of each group over the training, with the middle half of it.

    Args:
        runs: with a record each.
        loss: path of the loss; None for the last of each run.
    """
    figure, axes = panels([run.name for run in runs], "gradient ratio")
    sentences = []
    for axis, run in zip(axes, runs):
        ratio = drawn_ratio(loss_record(run, loss))
        rows = even_rows(len(ratio), _MOST_ROWS)
        iterations, medians = run.record.iterations[rows], []
        marker = "o" if len(rows) < 10 else ""
        names = group_names(run)
        for group, index in members(run.record.categories).items():
            low, median, high = np.nanpercentile(ratio[np.ix_(rows, index)], [25, 50, 75], axis=1)
            color, line = GROUP_STYLES[group]
            axis.fill_between(iterations, low, high, color=color, alpha=0.18, linewidth=0)
            style = {"color": color, "linestyle": line, "marker": marker, "markersize": 4}
            axis.plot(iterations, median, label=names[group], **style)
            medians.append(f"{names[group]} {median[0]:.2f} to {median[-1]:.2f}")
        axis.set_xlabel("iteration")
        sentences.append(f"{run.name}: {', '.join(medians)}")
    legend_below(figure, axes, "median, and the middle half")
    show_from_zero_to_balance(axes[0])
    return ReportFigure(
        "ratio-over-time",
        "Gradient ratio over time",
        "Median gradient ratio of the groups from the first to the last logged iteration. "
        f"{'; '.join(sentences)}.",
        figure,
    )


def _chosen_rows(iterations: np.ndarray, wanted: Sequence[int] | None) -> np.ndarray:
    """Rows nearest to the iterations; the first, the last and two between by default."""
    if wanted is None:
        # The ratio moves most at the beginning.
        wanted = iterations[0] + (iterations[-1] - iterations[0]) * np.array([0, 0.1, 0.4, 1])
    distance = np.abs(iterations[:, None] - np.asarray(wanted)[None, :])
    return np.unique(distance.argmin(axis=0))


def _imbalance(positive: np.ndarray, negative: np.ndarray) -> str:
    """How much larger the negative gradient of the categories of a group is, in words."""
    seen = positive > 0
    factor = f"{np.median(negative[seen] / positive[seen]):.3g}" if seen.any() else "unknown"
    return factor if seen.all() else f"{factor} (without positive: {(~seen).sum()})"

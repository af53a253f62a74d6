"""Figures of one or several runs: how balanced the gradients of the categories are.

Each function takes runs that have a record and returns a :class:`ReportFigure`; with several runs
each has its panel, all with the same y axis. The scores of the categories: ``scores.py``.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import colormaps

from ..data import GROUP_NAMES
from .drawing import (
    BLUE,
    GROUP_STYLES,
    VERMILLION,
    ReportFigure,
    category_order,
    draw_categories,
    drawn_ratio,
    group_means,
    loss_record,
    mark_groups,
    members,
    panels,
    show_from_zero_to_balance,
)
from .run import Run
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
        record, values = run.record, loss_record(run, loss)
        ratio = drawn_ratio(values)
        order = category_order(record.categories)
        rows = _chosen_rows(record.iterations, iterations)
        colors = colormaps["viridis"](np.linspace(0, 0.85, len(rows)))[::-1]  # the last is dark
        for row, color in zip(rows, colors):
            draw_categories(axis, ratio[row][order], color, f"{record.iterations[row]:,}")
        axis.legend(title="iteration", fontsize=9, title_fontsize=9)
        mark_groups(axis, record.categories)
        at = f"at iteration {record.iterations[rows[-1]]:,}"
        sentences.append(f"{run.name}, {at}: {group_means(record, values.ratio[rows[-1]])}")
    show_from_zero_to_balance(axes[0])
    return ReportFigure(
        "ratio-by-frequency",
        "Gradient ratio of the categories",
        "Gradient ratio of the categories, from frequent to rare. Mean of the groups: "
        + "; ".join(sentences)
        + ".",
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
        order = category_order(categories)
        for name, gradient, color in (
            ("positive", values.pos_grad[-1], BLUE),
            ("negative", values.neg_grad[-1], VERMILLION),
        ):
            # What is 0 has no place on a logarithmic axis.
            above = np.where(gradient > 0, gradient, np.nan)[order]
            draw_categories(axis, above, color, name, log=True)
        axis.set_yscale("log")
        axis.legend(fontsize=9)
        mark_groups(axis, categories)
        words = _imbalance(categories, values.pos_grad[-1], values.neg_grad[-1])
        sentences.append(f"{run.name}: {words}")
    return ReportFigure(
        "gradients-by-category",
        "Accumulated positive and negative gradients",
        "Gradients of each category, added up over the training, from frequent to rare. Median of "
        "negative over positive: " + "; ".join(sentences) + ".",
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
        iterations, ratio = run.record.iterations, drawn_ratio(loss_record(run, loss))
        rows = _even_rows(len(iterations), _MOST_ROWS)
        medians = []
        for group, index in members(run.record.categories).items():
            low, median, high = np.nanpercentile(ratio[np.ix_(rows, index)], [25, 50, 75], axis=1)
            color, style = GROUP_STYLES[group]
            marker = "o" if len(rows) < 10 else ""
            axis.fill_between(iterations[rows], low, high, color=color, alpha=0.18, linewidth=0)
            axis.plot(
                iterations[rows], median, linestyle=style, color=color, marker=marker, markersize=4
            )
            axis.lines[-1].set_label(GROUP_NAMES[group])
            medians.append(f"{GROUP_NAMES[group]} {median[0]:.2f} to {median[-1]:.2f}")
        axis.set_xlabel("iteration")
        axis.legend(title="median, middle half", fontsize=9, title_fontsize=9)
        sentences.append(f"{run.name}: {', '.join(medians)}")
    show_from_zero_to_balance(axes[0])
    first = "from the first to the last logged iteration"
    return ReportFigure(
        "ratio-over-time",
        "Gradient ratio over time",
        f"Median gradient ratio of the groups {first}. {'; '.join(sentences)}.",
        figure,
    )


def _chosen_rows(iterations: np.ndarray, wanted: Sequence[int] | None) -> np.ndarray:
    """Rows nearest to the iterations; the first, the last and two between by default."""
    if wanted is None:
        # The ratio moves most at the beginning.
        wanted = iterations[0] + (iterations[-1] - iterations[0]) * np.array([0, 0.1, 0.4, 1])
    distance = np.abs(iterations[:, None] - np.asarray(wanted)[None, :])
    return np.unique(distance.argmin(axis=0))


def _even_rows(size: int, most: int) -> np.ndarray:
    return np.unique(np.linspace(0, size - 1, min(size, most)).round().astype(int))


def _imbalance(categories: Sequence[Mapping], pos_grad: np.ndarray, neg_grad: np.ndarray) -> str:
    """How much larger the negative gradient is, by group, in words."""
    words = []
    for group, index in members(categories).items():
        positive, negative = pos_grad[index], neg_grad[index]
        seen = positive > 0
        factor = f"{np.median(negative[seen] / positive[seen]):.3g}" if seen.any() else "unknown"
        without = f" (without positive: {(~seen).sum()})" if not seen.all() else ""
        words.append(f"{GROUP_NAMES[group]} {factor}{without}")
    return ", ".join(words)

"""What the figures share: order of the categories, smoothing, colours, panels."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from ..data import GROUP_NAMES
from ..exceptions import InputError
from ..gradient_record import LossRecord
from .run import Run

# Okabe and Ito's colours, told apart with any colour vision; the line styles do it without colour.
BLUE, VERMILLION, GREEN = "#0072B2", "#D55E00", "#009E73"
SKY, ORANGE = "#56B4E9", "#E69F00"
# By the keys of the groups: those of LVIS, the five of Open Images, and what has no image
_COLORS = (BLUE, GREEN, VERMILLION, BLUE, SKY, GREEN, ORANGE, VERMILLION, "0.5")
_LINES = ("-", "--", "-.", "-", "--", "-.", ":", (0, (1, 1)), (0, (4, 1, 1, 1, 1, 1)))
GROUP_STYLES = dict(zip(GROUP_NAMES, zip(_COLORS, _LINES)))
# Of the runs that are compared with the baseline, which is black
_RUN_COLORS = (BLUE, VERMILLION, GREEN, "#CC79A7", SKY, ORANGE)
_RUN_LINES = ("-", "--", ":", "-.")
_LARGEST_RATIO = 2.0
# With fewer categories a running mean is each of them.
SMOOTHED_FROM = 24
# A smooth line does not gain by more points than it has pixels.
_MOST_POINTS = 400
# Width and height of a panel by the number of panels side by side, in inches
_PANELS = {1: (6.4, 3.9), 2: (4.6, 3.9), 3: (3.5, 3.1)}
# Of a group's name, as share of a panel
_LABEL_WIDTH = 0.18


class Curve(NamedTuple):
    """A value for each category, and how it is drawn.

    Attributes:
        values: (C,) by class index.
        color: of points and line.
        label: for the legend; "" for none.
        line: style of the running mean.
        has_points: whether each category has its point, beside the running mean.
    """

    values: np.ndarray
    color: str | tuple
    label: str = ""
    line: str = "-"
    has_points: bool = True


class ReportFigure(NamedTuple):
    """A figure and what it shows in words.

    Attributes:
        key: name for files and anchors, for example ``"ratio-by-frequency"``.
        title: one line.
        alternative: what the data show, with numbers, for those who do not see the figure.
        figure: not attached to pyplot: save it with ``figure.savefig``.
    """

    key: str
    title: str
    alternative: str
    figure: Figure


def loss_record(run: Run, loss: str | None = None) -> LossRecord:
    """Record of a loss of a run; of its last loss if None, in a cascade the last stage.

    Raises:
        InputError: the run has no such loss.
    """
    losses = run.record.losses
    if loss is None:
        return losses[next(reversed(losses))]
    if loss not in losses:
        raise InputError(f"{run.name} has no record of loss {loss!r}: it has {', '.join(losses)}")
    return losses[loss]


def drawn_ratio(values: LossRecord) -> np.ndarray:
    """Ratio (T, C) as it is drawn: 2 and more as 2, nan for a class without any gradient yet."""
    untouched = (values.pos_grad == 0) & (values.neg_grad == 0)
    return np.where(untouched, np.nan, np.minimum(values.ratio, _LARGEST_RATIO))


def category_order(categories: Sequence[Mapping]) -> np.ndarray:
    """Class indices from frequent to rare, group by group, where image counts are known by them."""
    rank = {group: position for position, group in enumerate(GROUP_NAMES)}
    groups = [rank.get(category["group"], len(rank)) for category in categories]
    counts = [-(category["image_count"] or 0) for category in categories]
    return np.lexsort((counts, groups))


def members(categories: Sequence[Mapping]) -> dict[str, np.ndarray]:
    """Class indices of each group that has categories, by its key, frequent first."""
    groups = np.array([category["group"] for category in categories])
    indices = {group: np.flatnonzero(groups == group) for group in GROUP_NAMES}
    return {group: index for group, index in indices.items() if len(index)}


def even_rows(size: int, most: int) -> np.ndarray:
    """Indices from the first to the last of `size`, `most` at the most, evenly apart."""
    return np.linspace(0, size - 1, min(size, most)).round().astype(int)


def smooth(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Running mean over about 1/12 of the values, fewer at the ends; nan does not count.

    Returns:
        Positions in ``values``, at most 400, and the mean around each of them.
    """
    window = np.ones(2 * (len(values) // SMOOTHED_FROM) + 1)
    known = np.isfinite(values)
    sums = np.convolve(np.where(known, values, 0), window, "same")
    with np.errstate(invalid="ignore"):  # 0 / 0 is nan: nothing is known around there
        mean = sums / np.convolve(known, window, "same")
    positions = even_rows(len(values), _MOST_POINTS)
    return positions, mean[positions]


def panels(titles: Sequence[str], ylabel: str, *, sharey: bool = True) -> tuple[Figure, list[Axes]]:
    """A figure with one panel a title, which a single one does not show, up to three side by
    side."""
    columns = min(len(titles), 3)
    rows = -(-len(titles) // columns)
    width, height = _PANELS[columns]
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    grid = figure.subplots(rows, columns, sharey=sharey, squeeze=False)
    for unused in grid.flat[len(titles) :]:
        unused.remove()
    for row in grid:
        row[0].set_ylabel(ylabel)
    axes = list(grid.flat[: len(titles)])
    for axis, title in zip(axes, titles):
        axis.set_title(text(title) if len(titles) > 1 else "", fontsize=10)
        tidy(axis)
    return figure, axes


def legend_below(figure: Figure, axes: Sequence[Axes], title: str = "") -> None:
    """One legend below all panels where they show the same, else one below each panel."""
    entries = [axis.get_legend_handles_labels() for axis in axes]
    style = {"title": title or None, "fontsize": 9, "title_fontsize": 9, "frameon": False}
    if all(labels == entries[0][1] for _, labels in entries):
        if entries[0][1]:
            columns = min(len(entries[0][1]), 6)
            figure.legend(*entries[0], loc="outside lower center", ncols=columns, **style)
        return
    for axis, (handles, labels) in zip(axes, entries):
        if labels:
            place = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.28), "ncols": 2}
            axis.legend(handles, labels, **place, **style)


def run_style(index: int) -> tuple[str, str]:
    """Colour and line style of a run by its place; 24 runs beside the baseline, 0, differ."""
    if index == 0:
        return "#000000", "-"
    turn, place = divmod(index - 1, len(_RUN_COLORS))
    return _RUN_COLORS[place], _RUN_LINES[turn % len(_RUN_LINES)]


def tidy(axis: Axes) -> None:
    """A light grid, and no frame where there is no scale."""
    axis.grid(color="0.9", linewidth=0.6)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)


def draw_categories(
    axis: Axes,
    categories: Sequence[Mapping],
    names: Mapping[str, str],
    curves: Iterable[Curve],
    *,
    log: bool = False,
) -> None:
    """Draw a point for each category, in their order, and the running mean; name the groups.

    Args:
        axis: one of its own, with linear scales.
        categories: with group and image count.
        names: of the groups, by their keys.
        curves: what is drawn.
        log: show and smooth logarithms; what is 0 has no place on such an axis.
    """
    order, number = category_order(categories), len(categories)
    styles = {60: (9, 0.9), 300: (5, 0.5), 3000: (3, 0.3), np.inf: (2, 0.15)}
    size, alpha = next(style for most, style in styles.items() if number < most)
    for values, color, label, line, has_points in curves:
        values = np.where(values > 0, values, np.nan)[order] if log else values[order]
        if has_points:
            axis.plot(values, ".", color=color, markersize=size, alpha=alpha, rasterized=True)
        positions, mean = smooth(np.log10(values) if log else values)
        mean = 10**mean if log else mean
        style = {"color": color, "linestyle": line, "label": label, "zorder": 3}
        axis.plot(positions, mean, **style, **outline(number))
    if log:
        axis.set_yscale("log")
    _mark_groups(axis, categories, names)


def outline(number: int) -> dict:
    """Style of a line over so many points: white around it where they are dense."""
    dense = number >= 300
    return {"path_effects": [withStroke(linewidth=3.5, foreground="white")] if dense else None}


def text(name: str) -> str:
    """A name as matplotlib shows it: not as mathematics, and not endless."""
    name = name if len(name) <= 44 else f"…{name[-43:]}"
    return name.replace("$", r"\$")


def _mark_groups(axis: Axes, categories: Sequence[Mapping], names: Mapping[str, str]) -> None:
    groups, total = members(categories), len(categories)
    sizes = np.array([len(index) for index in groups.values()])
    ends = np.cumsum(sizes)
    for end in ends[:-1]:
        axis.axvline(end - 0.5, color="0.55", linewidth=0.8, linestyle=":")
    centres = ends - sizes / 2 - 0.5
    labels = [f"{names[group]}\n{size:,}" for group, size in zip(groups, sizes)]
    axis.set_xticks(_apart(centres, _LABEL_WIDTH * total, total - 0.5), labels, fontsize=9)
    axis.tick_params(axis="x", length=0)
    axis.grid(visible=False, axis="x")
    axis.set_xlim(-0.5, total - 0.5)
    axis.set_xlabel("categories, most frequent first")


def _apart(positions: np.ndarray, distance: float, end: float) -> np.ndarray:
    """Move rising positions so that labels of narrow groups do not run into each other."""
    # Each moved left by `distance` for each label before it, those that are far enough apart rise.
    shift = distance * np.arange(len(positions))
    moved = np.minimum(positions - shift, end - distance / 2 - shift[-1:])
    moved = np.minimum.accumulate(moved[::-1])[::-1]
    return np.maximum.accumulate(np.maximum(moved, distance / 2 - 0.5)) + shift


def show_from_zero_to_balance(axis: Axes) -> None:
    """Let the shared y axes show 0, and 1, where positive and negative gradients are equal."""
    axis.set_ylim(0, max(1.05, axis.get_ylim()[1]))
    for shared in axis.figure.axes:
        shared.axhline(1, color="0.6", linewidth=0.8, zorder=0.9)

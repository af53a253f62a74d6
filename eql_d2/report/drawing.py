"""What the figures share: order of the categories, smoothing, colours, panels."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from ..data import GROUP_NAMES
from ..exceptions import InputError
from ..gradient_record import GradientRecordData, LossRecord
from .run import Run

# Okabe and Ito's colours, told apart with any colour vision; the line styles do it without colour.
BLUE, VERMILLION, GREEN = "#0072B2", "#D55E00", "#009E73"
SKY, ORANGE = "#56B4E9", "#E69F00"
GROUP_STYLES = {
    **{"f": (BLUE, "-"), "c": (GREEN, "--"), "r": (VERMILLION, "-.")},
    **{"5": (BLUE, "-"), "4": (SKY, "--"), "3": (GREEN, "-."), "2": (ORANGE, ":")},
    "1": (VERMILLION, (0, (1, 1))),
}
RUN_COLORS = ("#000000", BLUE, VERMILLION, GREEN, "#CC79A7", SKY, ORANGE)
_LARGEST_RATIO = 2.0
# With fewer categories a running mean is each of them.
SMOOTHED_FROM = 24
# A smooth line does not gain by more points than it has pixels.
_MOST_POINTS = 400
_PANEL = (4.6, 3.7)
# Of a group's name, as share of a panel
_LABEL_WIDTH = 0.18


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


def loss_record(run: Run, loss: str | None) -> LossRecord:
    """Record of a loss of a run; of its last loss if None, in a cascade the last stage.

    Raises:
        InputError: the run has no such loss.
    """
    losses = run.record.losses
    if loss is not None and loss not in losses:
        raise InputError(f"{run.name} has no record of loss {loss!r}: it has {', '.join(losses)}")
    return losses[loss if loss is not None else next(reversed(losses))]


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
    """Class indices of each group that has categories, frequent first."""
    groups = np.array([category["group"] for category in categories])
    indices = {group: np.flatnonzero(groups == group) for group in GROUP_NAMES}
    return {group: index for group, index in indices.items() if len(index)}


def smooth(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Running mean over about 1/12 of the values, fewer at the ends; nan does not count.

    Returns:
        Positions in ``values``, at most 400, and the mean around each of them.
    """
    size = len(values)
    half = size // SMOOTHED_FROM
    known = np.isfinite(values)
    sums = np.concatenate([[0], np.cumsum(np.where(known, values, 0), dtype=float)])
    counts = np.concatenate([[0], np.cumsum(known)])
    centres = np.unique(np.linspace(0, size - 1, min(size, _MOST_POINTS)).round().astype(int))
    first, end = np.maximum(centres - half, 0), np.minimum(centres + half + 1, size)
    number = counts[end] - counts[first]
    mean = np.divide(
        sums[end] - sums[first], number, out=np.full(len(centres), np.nan), where=number > 0
    )
    return centres, mean


def panels(names: Sequence[str], ylabel: str) -> tuple[Figure, list[Axes]]:
    """A figure with one panel a run, two side by side, all with the same y axis."""
    columns = min(len(names), 2)
    rows = -(-len(names) // columns)
    width = _PANEL[0] * columns if columns > 1 else 6.4
    figure = Figure(figsize=(width, _PANEL[1] * rows), layout="constrained")
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
    axes = list(grid.flat)
    for unused in axes[len(names) :]:
        unused.remove()
    axes = axes[: len(names)]
    for axis, name in zip(axes, names):
        if len(names) > 1:
            axis.set_title(text(name), fontsize=10)
        tidy(axis)
    for row in grid:
        row[0].set_ylabel(ylabel)
    return figure, axes


def tidy(axis: Axes) -> None:
    """A light grid, and no frame where there is no scale."""
    axis.grid(color="0.9", linewidth=0.6)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)


def draw_categories(
    axis: Axes, values: np.ndarray, color: str | tuple, label: str = "", *, log: bool = False
) -> None:
    """A point for each category, and the running mean (``log``: of the logarithm) over them."""
    number = len(values)
    styles = {60: (9, 0.9), 300: (5, 0.5), 3000: (3, 0.3), np.inf: (2, 0.15)}
    size, alpha = next(style for most, style in styles.items() if number < most)
    axis.plot(values, ".", color=color, markersize=size, alpha=alpha, rasterized=True)
    positions, mean = smooth(np.log10(values)) if log else smooth(values)
    mean = 10**mean if log else mean
    axis.plot(positions, mean, color=color, label=label, zorder=3, **outline(number))


def outline(number: int) -> dict:
    """Style of a line over so many points: white around it where they are dense."""
    dense = number >= 300
    return {"path_effects": [withStroke(linewidth=3.5, foreground="white")] if dense else None}


def text(name: str) -> str:
    """A name as matplotlib shows it: not as mathematics, and not endless."""
    name = name if len(name) <= 44 else f"…{name[-43:]}"
    return name.replace("$", r"\$")


def mark_groups(axis: Axes, categories: Sequence[Mapping]) -> None:
    """Name the groups along an x axis on which the categories stand in their order."""
    total = len(categories)
    sizes = {group: len(index) for group, index in members(categories).items()}
    ends = np.cumsum(list(sizes.values()))
    for end in ends[:-1]:
        axis.axvline(end - 0.5, color="0.55", linewidth=0.8, linestyle=":")
    centres = ends - np.array(list(sizes.values())) / 2 - 0.5
    labels = [f"{GROUP_NAMES[group]}\n{size:,}" for group, size in sizes.items()]
    axis.set_xticks(_apart(centres, _LABEL_WIDTH * total, total - 0.5), labels, fontsize=9)
    axis.tick_params(axis="x", length=0)
    axis.grid(visible=False, axis="x")
    axis.set_xlim(-0.5, total - 0.5)
    axis.set_xlabel("categories, most frequent first")


def _apart(positions: np.ndarray, distance: float, end: float) -> np.ndarray:
    """Move rising positions so that labels of narrow groups do not run into each other."""
    moved = positions.astype(float)
    right = end - distance / 2
    for index in reversed(range(len(moved))):
        moved[index] = min(moved[index], right)
        right = moved[index] - distance
    left = distance / 2 - 0.5
    for index in range(len(moved)):
        moved[index] = max(moved[index], left)
        left = moved[index] + distance
    return moved


def show_from_zero_to_balance(axis: Axes) -> None:
    """Let the shared y axes show 0, and 1, where positive and negative gradients are equal."""
    axis.set_ylim(0, max(1.05, axis.get_ylim()[1]))
    for shared in axis.figure.axes:
        shared.axhline(1, color="0.6", linewidth=0.8, zorder=0.9)


def group_means(record: GradientRecordData, ratio: np.ndarray) -> str:
    """Mean ratio of each group in words; a ratio above 1 counts as 1, as in the scalars."""
    means = [
        f"{GROUP_NAMES[group]} {np.minimum(ratio[index], 1).mean():.2f}"
        for group, index in members(record.categories).items()
    ]
    return ", ".join(means)

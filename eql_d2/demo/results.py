"""Results of the two trainings of the demo, as a table and as a figure."""

import json
from pathlib import Path

import matplotlib
import numpy as np
from tabulate import tabulate

from ..report.metrics import read_metrics
from .comparisons import Task

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def group_values(task: Task, output: Path) -> list[float]:
    """The last results of a training, in the order of ``task.groups``."""
    lines = reversed(read_metrics(output).lines)
    results = next(line for line in lines if task.groups.keys() <= line.keys())
    return [results[key] for key in task.groups]


def result_rows(task: Task, outputs: dict[str, Path]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the metric by group, and the difference."""
    values = [group_values(task, output) for output in outputs.values()]
    rows = [[task.runs[run], *(f"{v:.1f}" for v in row)] for run, row in zip(outputs, values)]
    rows.append(["difference", *(f"{b - a:+.1f}" for a, b in zip(*values))])
    return [task.metric, *(label.split("\n")[0] for label in task.groups.values())], rows


def result_table(task: Task, outputs: dict[str, Path]) -> str:
    """The same for a terminal."""
    header, rows = result_rows(task, outputs)
    return tabulate(
        rows,
        headers=header,
        tablefmt="github",
        disable_numparse=True,
        colalign=("left", *["right"] * len(task.groups)),
    )


def draw(task: Task, outputs: dict[str, Path], path: Path, title: str = "") -> None:
    """Draw the metric by group, and that of each category against its training images."""
    figure, (bars, points) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for i, (run, output) in enumerate(outputs.items()):
        x = np.arange(len(task.groups)) + 0.4 * i - 0.2
        heights = bars.bar(x, group_values(task, output), 0.4, label=task.runs[run])
        bars.bar_label(heights, fmt="%.1f", fontsize=8)
        image_count, values = category_values(task, output)
        points.plot(image_count, values, ".", color=f"C{i}", alpha=0.35)
        width = max(len(values) // 10, 1)
        window = np.ones(width) / width
        points.plot(
            np.exp(np.convolve(np.log(image_count), window, "valid")),
            np.convolve(values, window, "valid"),
            color=f"C{i}",
            label=f"{task.runs[run]}, mean of {width} categories",
        )
    bars.set(ylabel=task.metric, xticks=np.arange(len(task.groups)), title="by group")
    bars.set_xticklabels(task.groups.values())
    points.set(xscale="log", xlabel="training images", ylabel=task.metric, title="by category")
    bars.legend()
    points.legend(loc="lower right")
    figure.suptitle(title)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def category_values(task: Task, output: Path) -> tuple[np.ndarray, np.ndarray]:
    """Training images and the number of each category that was tested, rarest first."""
    file_name, key = task.categories
    with open(output / "inference" / f"{task.dataset}_val" / file_name) as f:
        tested = [category for category in json.load(f) if category[key] is not None]
    tested.sort(key=lambda category: category["image_count"])
    return tuple(np.array([category[k] for category in tested]) for k in ("image_count", key))

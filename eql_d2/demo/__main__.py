"""The demo: one model trained twice on a long-tailed data set, without and with equalization.

    python -m eql_d2.demo [--task TASK] [--iters N] [--seed S]

Generates the data, trains both side by side from the same seed, one thread each, through
``train_net.py``, then prints and draws the difference. ``make demo TASK=...`` does the same.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from tabulate import tabulate

from ..report.page import write_report
from .glyph_crops import generate_glyph_crops
from .glyph_maps import generate_glyph_maps
from .glyphs import generate_glyphs

matplotlib.use("Agg")
import matplotlib.pyplot as plt

ROOT = Path(__file__).resolve().parents[2]
POLL_SECONDS = 10


class Task(NamedTuple):
    """Two trainings to compare, and where their results are.

    Attributes:
        runs: Baseline and equalized training: end of the config's name, and name in the table.
        dataset: Start of the configs' names and of the names of the data sets.
        generate: Writes the data set into a folder.
        registration: Option of ``train_net.py`` that registers a split, and what follows its name.
        iters: Training steps.
        metric: What the numbers are, for the table and the figure.
        groups: Key in ``metrics.json`` and label, with a line for its threshold in the figure.
        categories: File of the numbers of each category, and its key for the number.
    """

    runs: dict[str, str]
    dataset: str
    generate: Callable[[Path], bool]
    registration: tuple[str, ...]
    iters: int
    metric: str
    groups: dict[str, str]
    categories: tuple[str, str]


TWO_STAGE = Task(
    runs={"softmax": "softmax cross entropy", "eqlv2": "EQL v2"},
    dataset="glyphs",
    generate=generate_glyphs,
    registration=("--dataset", "{data}/{split}.json", "{data}/images"),
    iters=1600,
    metric="box AP",
    groups={
        "bbox/AP": "all",
        "bbox/APr": "rare\n(≤ 10 images)",
        "bbox/APc": "common\n(≤ 100)",
        "bbox/APf": "frequent",
    },
    categories=("per_category_bbox.json", "AP"),
)
TASKS = {
    "twostage": TWO_STAGE,
    "onestage": TWO_STAGE._replace(runs={"focal": "focal loss", "efl": "EFL"}),
    "classification": Task(
        runs={"softmax": "softmax cross entropy", "softmax_eql": "Softmax-EQL"},
        dataset="glyph_crops",
        generate=generate_glyph_crops,
        registration=("--class-folder", "{data}/{split}"),
        iters=2400,
        metric="accuracy",
        groups={
            "classification/top1": "top-1",
            "classification/few": "few\n(< 20 images)",
            "classification/medium": "medium\n(≤ 100)",
            "classification/many": "many",
        },
        categories=("per_category_classification.json", "accuracy"),
    ),
    "segmentation": Task(
        runs={"softmax": "softmax cross entropy", "softmax_eql": "Softmax-EQL"},
        dataset="glyph_maps",
        generate=generate_glyph_maps,
        registration=(
            "--mask-folder",
            "{data}/images/{split}",
            "{data}/labels/{split}",
            "{data}/classes.txt",
        ),
        iters=1200,
        metric="IoU",
        groups={
            "sem_seg/mIoU": "mIoU",
            "sem_seg/mIoU_tail": "tail\n(≤ 10 images)",
            "sem_seg/mIoU_common": "common\n(≤ 100)",
            "sem_seg/mIoU_head": "head",
        },
        categories=("per_category_sem_seg.json", "IoU"),
    ),
}


def start_training(
    task: Task, run: str, iters: int, seed: int, data: Path, output: Path
) -> subprocess.Popen:
    """Start one training in a process of its own; what it prints goes to ``log`` there."""
    output.mkdir(parents=True, exist_ok=True)
    (output / "metrics.json").unlink(missing_ok=True)
    command = [sys.executable, "-W", "ignore", ROOT / "train_net.py"]
    command += ["--config-file", ROOT / f"configs/Demo/{task.dataset}_{run}.yaml"]
    option, *paths = task.registration
    for split in ("train", "val"):
        command += [option, f"{task.dataset}_{split}"]
        command += [path.format(data=data, split=split) for path in paths]
    command += ["OUTPUT_DIR", output, "SEED", seed, "SOLVER.MAX_ITER", iters]
    with open(output / "log", "w") as log:
        return subprocess.Popen(
            list(map(str, command)),
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )


def read_metrics(output: Path) -> list[dict]:
    path = output / "metrics.json"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def watch(processes: dict[str, subprocess.Popen], outputs: dict[str, Path], iters: int) -> None:
    """Show the progress of the trainings until both have ended.

    Raises:
        SystemExit: one of them failed; the end of its log is shown.
    """
    start = time.time()
    while any(process.poll() is None for process in processes.values()):
        time.sleep(POLL_SECONDS)
        states = []
        for run, output in outputs.items():
            steps = [line for line in read_metrics(output) if "total_loss" in line]
            done = steps[-1]["iteration"] + 1 if steps else 0
            loss = f"loss {steps[-1]['total_loss']:.2f}" if steps else "starting"
            states.append(f"{run} {'evaluating' if done == iters else f'{done}/{iters} {loss}'}")
        print(f"[{time.time() - start:4.0f} s] {'   '.join(states)}", flush=True)
        if any(process.poll() for process in processes.values()):
            break
    for run, process in processes.items():
        if process.poll():
            log = (outputs[run] / "log").read_text().splitlines()
            sys.exit("\n".join([*log[-15:], f"training {run} failed: {outputs[run] / 'log'}"]))


def group_values(task: Task, output: Path) -> list[float]:
    """The last results of a training, in the order of ``task.groups``."""
    lines = reversed(read_metrics(output))
    results = next(line for line in lines if task.groups.keys() <= line.keys())
    return [results[key] for key in task.groups]


def result_table(task: Task, outputs: dict[str, Path]) -> str:
    """Table of the metric by group, and the difference."""
    values = [group_values(task, output) for output in outputs.values()]
    rows = [[task.runs[run], *(f"{v:.1f}" for v in row)] for run, row in zip(outputs, values)]
    rows.append(["difference", *(f"{b - a:+.1f}" for a, b in zip(*values))])
    return tabulate(
        rows,
        headers=[task.metric, *(label.split("\n")[0] for label in task.groups.values())],
        tablefmt="github",
        disable_numparse=True,
        colalign=("left", *["right"] * len(task.groups)),
    )


def draw(task: Task, outputs: dict[str, Path], path: Path) -> None:
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
    figure.savefig(path, dpi=120)
    plt.close(figure)


def category_values(task: Task, output: Path) -> tuple[np.ndarray, np.ndarray]:
    """Training images and the number of each category that was tested, rarest first."""
    file_name, key = task.categories
    with open(output / "inference" / f"{task.dataset}_val" / file_name) as f:
        tested = [category for category in json.load(f) if category[key] is not None]
    tested.sort(key=lambda category: category["image_count"])
    return tuple(np.array([category[k] for category in tested]) for k in ("image_count", key))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", choices=TASKS, default="twostage", help="what is trained")
    parser.add_argument("--iters", type=int, help="training steps; default: as the task needs")
    parser.add_argument("--seed", type=int, default=1, help="seed of both trainings")
    args = parser.parse_args()
    task = TASKS[args.task]
    iters = task.iters if args.iters is None else args.iters
    if iters < 20:
        parser.error(f"--iters is {iters}: give 20 or more")

    data, output = ROOT / "datasets" / task.dataset, ROOT / "output/demo" / args.task
    task.generate(data)
    outputs = {run: output / run for run in task.runs}
    print(f"training both for {iters} steps, seed {args.seed}; logs in {output}", flush=True)
    processes = {
        run: start_training(task, run, iters, args.seed, data, path)
        for run, path in outputs.items()
    }
    try:
        watch(processes, outputs, iters)
    finally:
        for process in processes.values():
            process.terminate()
    draw(task, outputs, output / "demo.png")
    page = write_report(list(outputs.values()), output / "report.html")
    print(f"\n{result_table(task, outputs)}\n\nfigure: {output / 'demo.png'}\npage: {page}")


if __name__ == "__main__":
    main()

"""The demo: one detector trained twice on a long-tailed data set, without and with equalization.

    python -m eql_d2.demo [--task twostage|onestage] [--iters N] [--seed S]

Generates the data, trains both side by side from the same seed, one thread each, through
``train_net.py``, then prints and draws the difference. ``make demo`` does the same.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import matplotlib
import numpy as np
from tabulate import tabulate

from .data.datasets.glyphs import generate_glyphs

matplotlib.use("Agg")
import matplotlib.pyplot as plt

ROOT = Path(__file__).resolve().parents[1]
# Baseline and equalized training of each task: stem of the config, and name in the table
TASKS = {
    "twostage": {"softmax": "softmax cross entropy", "eqlv2": "EQL v2"},
    "onestage": {"focal": "focal loss", "efl": "EFL"},
}
METRICS = {"AP": "all", "APr": "rare", "APc": "common", "APf": "frequent"}
POLL_SECONDS = 10


def start_training(run: str, iters: int, seed: int, data: Path, output: Path) -> subprocess.Popen:
    """Start one training in a process of its own; what it prints goes to ``log`` there."""
    output.mkdir(parents=True, exist_ok=True)
    (output / "metrics.json").unlink(missing_ok=True)
    command = [sys.executable, "-W", "ignore", ROOT / "train_net.py"]
    command += ["--config-file", ROOT / f"configs/Demo/glyphs_{run}.yaml"]
    for split in ("train", "val"):
        command += ["--dataset", f"glyphs_{split}", data / f"{split}.json", data / "images"]
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


def result_table(runs: dict[str, str], outputs: dict[str, Path]) -> str:
    """Table of box AP by frequency group, and the difference."""
    values = []
    for output in outputs.values():
        results = next(line for line in reversed(read_metrics(output)) if "bbox/AP" in line)
        values.append([results[f"bbox/{metric}"] for metric in METRICS])
    rows = [[runs[run], *(f"{value:.1f}" for value in row)] for run, row in zip(outputs, values)]
    rows.append(["difference", *(f"{b - a:+.1f}" for a, b in zip(*values))])
    return tabulate(
        rows,
        headers=["box AP", *METRICS.values()],
        tablefmt="github",
        disable_numparse=True,
        colalign=("left", *["right"] * len(METRICS)),
    )


def draw(runs: dict[str, str], outputs: dict[str, Path], path: Path) -> None:
    """Draw AP by frequency group, and AP of each category against its training images."""
    figure, (bars, points) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for i, (run, output) in enumerate(outputs.items()):
        with open(output / "inference/glyphs_val/per_category_bbox.json") as f:
            categories = sorted(json.load(f), key=lambda category: category["image_count"])
        image_count = np.array([category["image_count"] for category in categories])
        ap = np.array([category["AP"] for category in categories], dtype=float)
        groups = np.array([category["group"] for category in categories])
        means = [np.nanmean(ap), *(np.nanmean(ap[groups == group]) for group in "rcf")]
        x = np.arange(4) + 0.4 * i - 0.2
        bars.bar_label(bars.bar(x, means, 0.4, label=runs[run]), fmt="%.1f", fontsize=8)
        points.plot(image_count, ap, ".", color=f"C{i}", alpha=0.35)
        window = np.ones(15) / 15
        points.plot(
            np.exp(np.convolve(np.log(image_count), window, "valid")),
            np.convolve(ap, window, "valid"),
            color=f"C{i}",
            label=f"{runs[run]}, mean of 15 categories",
        )
    bars.set(ylabel="box AP", xticks=np.arange(4), title="by frequency group")
    bars.set_xticklabels(["all", "rare\n(≤ 10 images)", "common\n(≤ 100)", "frequent"])
    points.set(xscale="log", xlabel="training images", ylabel="box AP", title="by category")
    bars.legend()
    points.legend(loc="lower right")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", choices=TASKS, default="twostage", help="kind of detector")
    parser.add_argument("--iters", type=int, default=1600, help="training steps")
    parser.add_argument("--seed", type=int, default=1, help="seed of both trainings")
    args = parser.parse_args()
    if args.iters < 20:
        parser.error(f"--iters is {args.iters}: give 20 or more")

    data, output = ROOT / "datasets/glyphs", ROOT / "output/demo" / args.task
    generate_glyphs(data)
    runs = TASKS[args.task]
    outputs = {run: output / run for run in runs}
    print(f"training both for {args.iters} steps, seed {args.seed}; logs in {output}", flush=True)
    processes = {
        run: start_training(run, args.iters, args.seed, data, path) for run, path in outputs.items()
    }
    try:
        watch(processes, outputs, args.iters)
    finally:
        for process in processes.values():
            process.terminate()
    draw(runs, outputs, output / "demo.png")
    print(f"\n{result_table(runs, outputs)}\n\nfigure: {output / 'demo.png'}")


if __name__ == "__main__":
    main()

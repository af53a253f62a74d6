"""The demo: one model trained twice on a long-tailed data set, without and with equalization.

    python -m eql_d2.demo [--task TASK] [--iters N] [--seed S]

Generates the data, trains both side by side from the same seed, one thread each, through
``train_net.py``, then prints and draws the difference. ``make demo TASK=...`` does the same.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from ..report.page import write_report
from .comparisons import TASKS, Task
from .results import draw, read_metrics, result_table

ROOT = Path(__file__).resolve().parents[2]
POLL_SECONDS = 10


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

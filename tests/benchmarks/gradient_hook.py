"""What the gradient-ratio hook adds to a training step at its default period."""

import statistics
import tempfile
import time
import types

import torch
from detectron2.utils.events import EventStorage
from tabulate import tabulate
from torch import nn

from eql_d2 import EQLv2
from eql_d2.engine.hooks import GradientRatioHook
from tests.benchmarks.eqlv2 import training_step

PERIOD = 100  # MODEL.EQL.LOG_PERIOD
ROUNDS = 50
SIZES = ((1203, 1), (1203, 3), (8142, 1), (8142, 3))


def time_log(num_classes: int, num_losses: int) -> list[float]:
    """Seconds of each log: scalars, histograms and one row brought to the disk."""
    generator = torch.Generator().manual_seed(0)
    losses = nn.ModuleDict({f"stage{i}": EQLv2(num_classes) for i in range(num_losses)})
    for loss in losses.values():
        pos_grad, neg_grad = 10 * torch.rand(2, num_classes, generator=generator)
        loss.statistics.update(pos_grad, 1 + neg_grad)
    category = {"name": "a category", "image_count": 1, "instance_count": 1}
    groups = ("rcf"[i % 3] for i in range(num_classes))
    seconds = []
    # In the working directory, where trainings write, not in memory as /tmp may be.
    with tempfile.TemporaryDirectory(dir=".") as folder, EventStorage() as storage:
        hook = GradientRatioHook(PERIOD, folder, [{**category, "group": g} for g in groups])
        hook.trainer = types.SimpleNamespace(model=losses, start_iter=0, max_iter=10**6)
        hook.before_train()
        for round_ in range(1 + ROUNDS):
            hook.trainer.iter = storage.iter = (round_ + 1) * PERIOD - 1
            start = time.perf_counter()
            hook.after_step()
            seconds.append(time.perf_counter() - start)
            storage.clear_histograms()
    return seconds[1:]


def time_step(rounds: int = 5) -> float:
    """Median seconds of a training step of Mask R-CNN R50-FPN, 1203 classes."""
    step = training_step("EQLv2")
    seconds = []
    for _ in range(1 + rounds):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


def main() -> None:
    step = time_step()
    rows = []
    for num_classes, num_losses in SIZES:
        seconds = time_log(num_classes, num_losses)
        log = statistics.median(seconds)
        spread = f"{1000 * min(seconds):.1f} to {1000 * max(seconds):.1f}"
        per_step = log / PERIOD
        rows.append(
            [
                num_classes,
                num_losses,
                f"{1000 * log:.1f}",
                spread,
                f"{1000 * per_step:.3f}",
                f"{per_step / step:.4%}",
                f"{per_step / 0.3:.3%}",
            ]
        )
    print(f"\ngradient-ratio hook, one log every {PERIOD} steps, {ROUNDS} rounds")
    headers = ["classes", "losses", "log ms", "min to max", "ms a step"]
    headers += [f"of this CPU's step ({step:.1f} s)", "of a step of 0.3 s"]
    print(tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True), flush=True)


if __name__ == "__main__":
    main()

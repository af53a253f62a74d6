"""How far a study is, in one line."""

import math
from collections.abc import Sequence

from .plan import Trial
from .results import read_metrics


def progress_line(
    seconds: float, done: int, total: int, running: Sequence[Trial], steps: int, all_steps: int
) -> str:
    """The line, for example ``[ 123 s] 3 of 12 done   focal/seed1 400/1600 loss 1.23``.

    Args:
        seconds: since this start of the study.
        done, total: trials.
        running: trials.
        steps: those of the trainings that this start has finished.
        all_steps: of all trainings that this start has to do.
    """
    states = []
    for trial in running:
        lines = [line for line in read_metrics(trial.folder) if "total_loss" in line]
        step = lines[-1]["iteration"] + 1 if lines else 0
        steps += step
        if step >= trial.max_iter:  # one that trains nothing, too
            state = "evaluating"
        else:
            state = f"{step}/{trial.max_iter} "
            state += f"loss {lines[-1]['total_loss']:.2f}" if lines else "starting"
        states.append(f"{trial.name} {state}")
    left = ""
    if 0 < steps < all_steps:
        left = f"   {_duration(seconds * (all_steps / steps - 1))} left"
    return f"[{seconds:4.0f} s] {done} of {total} done   {'   '.join(states)}{left}"


def _duration(seconds: float) -> str:
    minutes = math.ceil(seconds / 60)
    return (
        f"about {minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"about {minutes} min"
    )

"""Numbers of a study: what the trials have left, means over seeds, differences to the baseline."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..data import GROUP_NAMES
from ..evaluation.evaluation_json import FILE, read_evaluation, says_tested
from ..files import read_json
from ..report.metrics import read_metrics
from ..tasks import TASKS
from .plan import Study, Trial

RUN_FILE = "run.json"
RATIO = "gradient_ratio/"
STEP_SECONDS = "seconds_per_step"
RESAMPLES = 10_000
_LIMITS = (2.5, 97.5)


class Outcome(NamedTuple):
    """What became of a trial.

    Attributes:
        trial: it.
        record: content of its ``run.json``; {} if it was not run.
        metrics: its numbers by their names, see :func:`metrics_of`; {} if it has failed.
        problem: why it has no numbers, one line; "" if it was finished.
        tested: how many categories its means are over where these are not all, one line each.
    """

    trial: Trial
    record: dict
    metrics: dict[str, float]
    problem: str
    tested: tuple[str, ...] = ()


class Summary(NamedTuple):
    """A metric of a run over the seeds, and how it differs from the baseline's.

    Attributes:
        run: its name.
        metric: its name.
        mean: over the seeds that have it.
        deviation: standard deviation of the sample (``ddof=1``); nan for one seed.
        count: seeds that have it.
        difference: mean of the differences to the baseline of the same seed; nan where none has
            both, and for the baseline.
        low: lower end of the interval of the difference, :func:`bootstrap_interval`.
        high: upper end.
        pairs: seeds that have both.
    """

    run: str
    metric: str
    mean: float
    deviation: float
    count: int
    difference: float
    low: float
    high: float
    pairs: int


def read_outcomes(study: Study) -> list[Outcome]:
    """What became of each trial, in their order."""
    outcomes = []
    for trial in study.trials:
        path, problem = trial.folder / RUN_FILE, problem_of(trial)
        record = read_json(path) if path.exists() and not problem.startswith("not run") else {}
        numbers = {} if problem else metrics_of(trial.folder)
        tested = () if problem else coverage_of(trial.folder)
        outcomes.append(Outcome(trial, record, numbers, problem, tested))
    return outcomes


def problem_of(trial: Trial) -> str:
    """Why a trial has no results: that it failed and the last line of its log, or why it was not
    run; "" if it was finished."""
    path = trial.folder / RUN_FILE
    exit_code = read_json(path)["exit"] if path.exists() else None
    if exit_code == 0:
        return ""
    if trial.source is not None and problem_of(trial.source):
        return f"not run: it needs {trial.source.name}"
    if exit_code is None:
        return "not run"
    text = (trial.folder / "log").read_text(encoding="utf-8", errors="replace")
    return f"exit {exit_code}: {(text.strip().splitlines() or ['it printed nothing'])[-1].strip()}"


def metrics_of(folder: Path) -> dict[str, float]:
    """Numbers of a finished trial, in the order in which they are shown.

    - results of its last evaluation, in percent, by their keys in ``metrics.json``: "bbox/AP",
      with several test sets "my_val/bbox/AP"; of those that a :class:`~eql_d2.tasks.Task` names;
    - mean gradient ratio of the groups at the last log, "gradient_ratio/rare" and so on;
    - "seconds_per_step": median over the logs.

    What was not measured is left out.
    """
    evaluations = _evaluations(folder)
    metrics = {}
    for evaluation in evaluations:
        prefix = f"{evaluation['dataset']}/" if len(evaluations) > 1 else ""
        for name, values in evaluation["results"].items():
            known = [metric for task in TASKS if name in task.results for metric in task.metrics]
            for metric in known:
                if values.get(metric) is not None:
                    metrics[f"{prefix}{name}/{metric}"] = values[metric]
    lines = read_metrics(folder).lines
    groups = [RATIO + name.replace(" ", "_") for name in reversed(GROUP_NAMES.values())]
    logged = next((line for line in reversed(lines) if line.keys() & set(groups)), {})
    metrics |= {group: logged[group] for group in groups if group in logged}
    times = [line["time"] for line in lines if "time" in line]
    return metrics | ({STEP_SECONDS: float(np.median(times))} if times else {})


def coverage_of(folder: Path) -> tuple[str, ...]:
    """How many categories the test data of a finished trial show, where these are not all."""
    return tuple(filter(None, map(says_tested, _evaluations(folder))))


def _evaluations(folder: Path) -> list[dict]:
    return [read_evaluation(path) for path in sorted((folder / "inference").rglob(FILE))]


def summarize(outcomes: Sequence[Outcome], baseline: str) -> list[Summary]:
    """A summary of each metric of each run that has it, in their order."""
    values: dict[str, dict[str, dict[int, float]]] = {}
    for outcome in outcomes:
        of_run = values.setdefault(outcome.trial.run, {})
        for metric, value in outcome.metrics.items():
            if math.isfinite(value):
                of_run.setdefault(metric, {})[outcome.trial.seed] = value
    return [
        _summary(run, metric, by_seed, {} if run == baseline else values[baseline].get(metric, {}))
        for run, of_run in values.items()
        for metric, by_seed in of_run.items()
    ]


def _summary(
    run: str, metric: str, by_seed: Mapping[int, float], baseline: Mapping[int, float]
) -> Summary:
    found = np.array(list(by_seed.values()))
    pairs = np.array([by_seed[seed] - baseline[seed] for seed in by_seed if seed in baseline])
    deviation = found.std(ddof=1) if len(found) > 1 else math.nan
    difference = pairs.mean() if len(pairs) else math.nan
    interval = bootstrap_interval(pairs)
    return Summary(
        run, metric, found.mean(), deviation, len(found), difference, *interval, len(pairs)
    )


def bootstrap_interval(values: Sequence[float]) -> tuple[float, float]:
    """95% percentile bootstrap interval of the mean: 2.5% and 97.5% of the means of 10,000
    resamples, always the same ones.

    Of few values it is too narrow: it cannot leave their range, outside of which the true mean of
    symmetrically distributed values lies with probability ``2 ** (1 - n)``: 25% with 3 of them.

    Args:
        values: (n,); fewer than two have no interval.

    Returns:
        Lower and upper limit; nan where there is no interval.
    """
    values = np.asarray(values, dtype=np.float64)
    if len(values) < 2:
        return math.nan, math.nan
    chosen = np.random.default_rng(0).integers(len(values), size=(RESAMPLES, len(values)))
    low, high = np.percentile(values[chosen].mean(axis=1), _LIMITS)
    return float(low), float(high)

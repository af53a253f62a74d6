"""Tables of a study: for people as Markdown and on the page, for programs as CSV."""

import csv
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from tabulate import tabulate

from ..data import GROUP_NAMES
from ..files import open_atomic
from ..report.headline import task_words
from ..tasks import ALL, TASKS, task_of_results
from .plan import Study
from .results import RATIO, RESAMPLES, STEP_SECONDS, Outcome, Summary

Table = tuple[str, list[str], list[list[str]]]
_WORDS = {metric: words for task in TASKS for metric, (words, _) in task.metrics.items()}
_OF_GROUPS = {
    m for task in TASKS for m, (_, group) in task.metrics.items() if group not in (None, ALL)
}
_OF_RECORD = ("exit", "seconds", "at_a_time")
_FIRST = {next(iter(task.metrics)) for task in TASKS}


def study_tables(
    study: Study, outcomes: Sequence[Outcome], summaries: Sequence[Summary]
) -> list[Table]:
    """Title, header and rows of the means and, with several runs, of the differences.

    Of the results they have the first metric of a task, those of the groups, and the means over
    these; ``table.csv`` has all.
    """
    found = {(summary.run, summary.metric): summary for summary in summaries}
    metrics = _shown(dict.fromkeys(metric for _, metric in found))
    results = [metric for metric in metrics if not _is_of_training(metric)]

    def rows(runs: Iterable[str], columns: Sequence[str], size: str, cell: Callable) -> list:
        table = []
        for run in runs:
            of_run = [found.get((run, metric)) for metric in columns]
            sizes = [getattr(summary, size) for summary in of_run if summary]
            cells = [cell(summary) if summary else "–" for summary in of_run]
            table.append([run, f"{max(sizes, default=0)}", *cells])
        return table

    several = len(study.seeds) > 1
    title = "Mean ± standard deviation over the seeds, results in percent"
    title = title if several else "Results in percent"
    words = _words(metrics)
    if _why_no_times(outcomes):
        words[STEP_SECONDS] += " (no comparison)"
    header = ["run", "seeds", *(words[metric] for metric in metrics)]
    tables = [(title, header, rows(study.runs, metrics, "count", _mean_text))]
    others = [run for run in study.runs if run != study.baseline]
    if others:
        title = f"Difference to {study.baseline}, paired by seed"
        title += ", with 95% interval" if several else ""
        header = ["run", "pairs", *(words[metric] for metric in results)]
        tables.append((title, header, rows(others, results, "pairs", _difference_text)))
    return tables


def markdown(
    study: Study, outcomes: Sequence[Outcome], summaries: Sequence[Summary], tables: Sequence[Table]
) -> str:
    """The tables, what they do not say by themselves, and the trials without results."""
    seeds = ", ".join(map(str, study.seeds))
    parts = [f"# {study.name}\n\nSeed{'s' if len(study.seeds) > 1 else ''} {seeds}."]
    for title, header, rows in tables:
        align = ("left", *["right"] * (len(header) - 1))
        text = tabulate(
            rows, headers=header, tablefmt="github", disable_numparse=True, colalign=align
        )
        parts.append(f"{title}:\n\n{text}")
    if any(summary.pairs > 1 for summary in summaries):
        parts.append(
            f"Intervals: percentile bootstrap over the seeds, {RESAMPLES:,} resamples. Of few they "
            "are too narrow: none leaves the range of the differences, which holds the mean of a "
            "symmetric distribution with 75% if there are 3 and with 94% if there are 5."
        )
    tested = dict.fromkeys(line for outcome in outcomes for line in outcome.tested)
    parts += ["\n".join(f"{line}." for line in tested)] if tested else []
    reason = _why_no_times(outcomes)
    if reason and any(summary.metric == STEP_SECONDS for summary in summaries):
        parts.append(f"Seconds a step are no comparison of the runs: {reason}.")
    problems = [f"- {o.trial.name}: {o.problem}" for o in outcomes if o.problem]
    if problems:
        parts.append("\n".join(["Without results:", "", *problems]))
    made = dict.fromkeys(_made_by(outcome.record) for outcome in outcomes if not outcome.problem)
    parts += [f"Made by: {'; '.join(made)}."] if made else []
    return "\n\n".join(parts) + "\n"


def write_tables(
    study: Study, outcomes: Sequence[Outcome], summaries: Sequence[Summary], text: str
) -> list[Path]:
    """Write ``table.md``, ``table.csv`` with a row for each run and metric, and ``runs.csv`` with
    one for each run and seed, to the study's folder; returns their paths."""
    paths = [study.output / name for name in ("table.md", "table.csv", "runs.csv")]
    with open_atomic(paths[0]) as file:
        file.write(text)
    rows = [[_csv(value) for value in summary] for summary in summaries]
    names = {"deviation": "sd", "count": "n"}
    _write_csv(paths[1], [names.get(field, field) for field in Summary._fields], rows)
    metrics = list(dict.fromkeys(metric for outcome in outcomes for metric in outcome.metrics))
    rows = [
        [o.trial.run, o.trial.seed, *(o.record.get(key, "") for key in _OF_RECORD)]
        + [_csv(o.metrics.get(metric, math.nan)) for metric in metrics]
        + [o.problem]
        for o in outcomes
    ]
    _write_csv(paths[2], ["run", "seed", *_OF_RECORD, *metrics, "problem"], rows)
    return paths


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence]) -> None:
    with open_atomic(path) as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


def _csv(value: str | int | float) -> str | int | float:
    """Floats with six digits that count, nothing for nan."""
    if not isinstance(value, float):
        return value
    return f"{value:.6g}" if math.isfinite(value) else ""


def _is_of_training(metric: str) -> bool:
    return metric.startswith(RATIO) or metric == STEP_SECONDS


def _shown(metrics: Iterable[str]) -> list[str]:
    """Columns: results, then gradient ratios, then the time."""
    metrics = list(metrics)
    names = {metric.rpartition("/")[2] for metric in metrics if not _is_of_training(metric)}
    of_groups = names & _OF_GROUPS
    shown = {
        name
        for name in names
        if name in _FIRST or any(group.startswith(name) for group in of_groups)
    }
    results = [metric for metric in metrics if metric.rpartition("/")[2] in shown]
    ratios = [metric for metric in metrics if metric.startswith(RATIO)]
    return [*results, *ratios, *(metric for metric in metrics if metric == STEP_SECONDS)]


def _words(metrics: Sequence[str]) -> dict[str, str]:
    """Title of the column of each metric; groups bear the names of the task."""
    task = task_of_results(metric.rpartition("/")[0] for metric in metrics) or TASKS[0]
    words = {STEP_SECONDS: "s a step"}
    for group, name in GROUP_NAMES.items():
        shown = task.group_names.get(group, name)
        words[RATIO + name.replace(" ", "_")] = f"ratio {shown}"
    for metric in metrics:
        prefix, _, name = metric.rpartition("/")
        if not _is_of_training(metric):
            words[metric] = f"{task_words(prefix)} {_WORDS[name]}".strip()
    return words


def _mean_text(summary: Summary) -> str:
    digits = 1
    if _is_of_training(summary.metric):
        digits = 3 if summary.metric == STEP_SECONDS else 2
    text = f"{summary.mean:.{digits}f}"
    return f"{text} ± {summary.deviation:.{digits}f}" if summary.count > 1 else text


def _difference_text(summary: Summary) -> str:
    if not summary.pairs:
        return "–"
    text = f"{summary.difference:+.1f}"
    text += f" [{summary.low:+.1f}, {summary.high:+.1f}]" if summary.pairs > 1 else ""
    return text.replace("-", "−")


def _why_no_times(outcomes: Sequence[Outcome]) -> str:
    """Why times of the trials tell nothing of the runs; "" if they do."""
    records = [outcome.record for outcome in outcomes if not outcome.problem]
    most = max((record.get("at_a_time", 1) for record in records), default=1)
    if most > 1:
        return f"up to {most} shared the machine, see at_a_time in runs.csv; jobs: 1 measures them"
    if len({tuple(record["machine"].items()) for record in records}) > 1:
        return "they were trained on several machines"
    return ""


def _made_by(record: dict) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    machine = record["machine"]
    gpu = f", {machine['gpu']}" if "gpu" in machine else ""
    return f"{machine['cpu']}, {machine['cores']} cores{gpu}; {versions}"

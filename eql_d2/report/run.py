"""A finished, running or broken training as the report sees it: what is in its ``OUTPUT_DIR``."""

import dataclasses
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import yaml

from ..evaluation.evaluation_json import FILE, read_evaluation
from ..exceptions import InputError
from ..gradient_record import GradientRecordData, read_record
from ..tasks import TASKS, task_of, task_of_results
from .metrics import read_metrics

_SCORES = ("AP", "accuracy", "IoU")
# A key of metrics.json that an evaluation wrote: task/metric, or data set/task/metric.
_RESULTS = "|".join(name for task in TASKS for name in task.results)
_EVALUATED = re.compile(rf"(?:.+/)?(?:{_RESULTS})/[^/]+")


@dataclasses.dataclass
class Run:
    """What is known of one training.

    Attributes:
        name: short, for headings and legends.
        output_dir: its folder.
        record: gradients of the categories over time; None without a record that fits.
        metrics: of the last evaluation, by their keys in ``metrics.json``, for example "bbox/APr".
        tables: per-category results, ``{"name", "group", "AP", ...}`` by contiguous class, for
            example of "bbox"; with several test sets of "my_val/bbox".
        evaluations: contents of each ``evaluation.json``.
        config: of ``config.yaml``, as plain dicts, lists and values.
        iterations: done, as far as the files tell.
        problems: what is missing or damaged, one line each.
    """

    name: str
    output_dir: Path
    record: GradientRecordData | None = None
    metrics: dict[str, float] = dataclasses.field(default_factory=dict)
    tables: dict[str, list[dict]] = dataclasses.field(default_factory=dict)
    evaluations: list[dict] = dataclasses.field(default_factory=list)
    config: dict = dataclasses.field(default_factory=dict)
    iterations: int | None = None
    problems: list[str] = dataclasses.field(default_factory=list)


def load_run(output_dir: str | os.PathLike) -> Run:
    """Read what a training has left; parts that are missing or damaged become `problems`.

    Raises:
        InputError: there is no such folder, or nothing of a training in it.
    """
    folder = Path(output_dir)
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder: give the OUTPUT_DIR of a training")
    run = Run(folder.resolve().name, folder)
    for load in (_load_record, _load_metrics, _load_tables, _load_evaluations, _load_config):
        try:
            load(run)
        except InputError as error:
            run.problems.append(str(error))
        except OSError as error:
            run.problems.append(f"{error.filename or folder} cannot be read: {error.strerror}")
    if not (run.record or run.metrics or run.tables or run.config or run.iterations):
        raise InputError(
            f"{folder} has no gradient_record.json, metrics.json, config.yaml or inference/ that "
            "can be read: give the OUTPUT_DIR of a training"
        )
    return run


def score_name(table: list[dict]) -> str:
    """Key of the score in a per-category table: "AP", "accuracy" or "IoU"."""
    return next(name for name in _SCORES if name in table[0])


def scores_of(table: list[dict]) -> np.ndarray:
    """Score of each category, float64 (C,), nan where there is none."""
    return np.array([row.get(score_name(table)) for row in table], dtype=float)


def categories_of(run: Run, task: str | None = None) -> list[dict]:
    """``{"name", "group", "image_count", "instance_count"}`` of each category, of the training.

    Args:
        run: with a record or a table.
        task: of the table that serves where there is no record; None for the first.
    """
    keys = ("name", "group", "image_count", "instance_count")
    if run.record is not None:
        return [{key: row.get(key) for key in keys} for row in run.record.categories]
    table = run.tables[task or next(iter(run.tables))]
    # The instances of a table are those of the test data.
    return [{key: row.get(key) for key in keys[:3]} | {"instance_count": None} for row in table]


def group_names(run: Run, task: str | None = None) -> Mapping[str, str]:
    """What the task of the run calls the groups of its categories, by their keys.

    Args:
        run: its results tell the task; before its first evaluation its model.
        task: of the table that is shown, where a run has tables of several tasks.
    """
    results = [task] if task else [*run.tables, *(key.rpartition("/")[0] for key in run.metrics)]
    if found := task_of_results(results):
        return found.group_names
    settings = dict(flatten(run.config))
    model = settings.get("MODEL.META_ARCHITECTURE", settings.get("model._target_", ""))
    return task_of(str(model).rpartition(".")[2]).group_names


def _load_record(run: Run) -> None:
    record = read_record(run.output_dir)
    kinds = {"image_count": int | None, "instance_count": int | None, "group": str | None}
    if not all(isinstance(row.get(key), kinds[key]) for row in record.categories for key in kinds):
        raise InputError(f"{run.output_dir / 'gradient_record.json'} is damaged: train again")
    run.record, run.iterations = record, int(record.iterations[-1])
    if not record.is_complete:
        run.problems.append(
            f"{run.output_dir / 'gradient_record.dat'} is damaged or not complete after iteration "
            f"{run.iterations}: what follows is left out"
        )


def _load_metrics(run: Run) -> None:
    path = run.output_dir / "metrics.json"
    if not path.exists():
        raise InputError(f"{path} does not exist: there are no results of an evaluation")
    lines, damaged = read_metrics(run.output_dir)
    last = None
    for values in lines:
        if "total_loss" in values:
            last = values.get("iteration", last)
        results = {key: value for key, value in values.items() if _EVALUATED.fullmatch(key)}
        run.metrics = results or run.metrics
    if last is not None:
        run.iterations = max(last + 1, run.iterations or 0)
    if damaged:
        run.problems.append(
            f"{path}: line {damaged[0]} is damaged or not complete ({len(damaged)} such in all): "
            "left out"
        )
    if not run.metrics:
        run.problems.append(f"{path} has no results of an evaluation: set TEST.EVAL_PERIOD")


def _load_tables(run: Run) -> None:
    folder = run.output_dir / "inference"
    paths = sorted(folder.glob("**/per_category_*.json"))
    if not paths:
        raise InputError(
            f"{folder} has no per_category_*.json: there are no scores of single categories"
        )
    several = len({path.parent for path in paths}) > 1
    for path in paths:
        task = path.stem.removeprefix("per_category_")
        try:
            run.tables[f"{path.parent.name}/{task}" if several else task] = _read_table(path)
        except InputError as error:
            run.problems.append(str(error))
    sizes = {task: len(table) for task, table in run.tables.items()}
    if run.record and set(sizes.values()) - {len(run.record.categories)}:
        run.problems.append(
            f"{run.output_dir}: the gradient record is of {len(run.record.categories)} categories, "
            f"the evaluation of {sizes}: they are not of one training, the record is left out"
        )
        run.record = None


def _read_table(path: Path) -> list[dict]:
    try:
        table = json.loads(_read_text(path))
        valid = all("name" in row for row in table)
        valid = valid and _are_numbers(table, score_name(table), "image_count", "instance_count")
    except (ValueError, TypeError, AttributeError, LookupError, StopIteration):
        valid = False
    if not valid:
        raise InputError(f"{path} is damaged: evaluate again (train_net.py --eval-only)")
    return table


def _are_numbers(rows: list[dict], *keys: str) -> bool:
    """Whether the values are numbers, or None or missing where they are not known."""
    return all(isinstance(row.get(key), int | float | None) for row in rows for key in keys)


def _load_evaluations(run: Run) -> None:
    for path in sorted((run.output_dir / "inference").glob(f"**/{FILE}")):
        try:
            run.evaluations.append(read_evaluation(path))
        except InputError as error:
            run.problems.append(str(error))


def _load_config(run: Run) -> None:
    path = run.output_dir / "config.yaml"
    text = _read_text(path, "the settings of the training are not known")
    try:
        config = yaml.load(text, Loader=_PlainLoader)
        _ = dict(flatten(config)) if isinstance(config, dict) else None  # ends, despite aliases
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        where = getattr(error, "problem_mark", None)
        line = f" in line {where.line + 1}" if where else ""
        raise InputError(f"{path} is not valid YAML{line}: the settings are not shown") from error
    if not isinstance(config, dict):
        raise InputError(f"{path} holds no settings: they are not shown")
    run.config = config


def _read_text(path: Path, missing: str = "") -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist: {missing}") from error


class _PlainLoader(yaml.SafeLoader):
    """Reads the python tags in the dump of a LazyConfig as plain values; it never makes objects."""

    def plain(self, _: str, node: yaml.Node):
        if isinstance(node, yaml.SequenceNode):
            return self.construct_sequence(node, deep=True)
        if isinstance(node, yaml.MappingNode):
            return self.construct_mapping(node, deep=True)
        return self.construct_scalar(node)


_PlainLoader.add_multi_constructor("tag:yaml.org,2002:python/", _PlainLoader.plain)


def flatten(config: dict, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Pairs of dotted key and value: ("MODEL.EQL.LOSS", "EQLv2")."""
    for key, value in config.items():
        if isinstance(value, dict) and value:
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value

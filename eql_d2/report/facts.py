"""What the runs were: settings, what differs from the defaults, versions, data, evaluator."""

import functools
import re
from collections.abc import Sequence
from typing import NamedTuple

import yaml
from detectron2.config import get_cfg

from ..config import add_eql_config
from .headline import group_sizes
from .run import Run, flatten

# Label, key of a yaml config and of a LazyConfig
_SETTINGS = (
    ("Loss", "MODEL.EQL.LOSS", None),
    ("Training data", "DATASETS.TRAIN", "dataloader.train.dataset.names"),
    ("Test data", "DATASETS.TEST", "dataloader.test.dataset.names"),
    ("Images a step", "SOLVER.IMS_PER_BATCH", "dataloader.train.total_batch_size"),
    ("Learning rate", "SOLVER.BASE_LR", "optimizer.lr"),
    ("Sampler", "DATALOADER.SAMPLER_TRAIN", "dataloader.train.sampler._target_"),
    ("Initial weights", "MODEL.WEIGHTS", "train.init_checkpoint"),
    ("Seed", "SEED", "train.seed"),
)
_MAX_ITER = ("SOLVER.MAX_ITER", "train.max_iter")
_LAZY_LOSS = re.compile(r"(?:.+\.)?(?:loss_cls|loss)\._target_")
_LONGEST = 300


class Difference(NamedTuple):
    """A setting that differs: its key, the default ("" if there is none), and that of each run."""

    key: str
    default: str
    values: list[str]


def run_facts(runs: Sequence[Run]) -> list[tuple[str, list[str]]]:
    """Label, and the fact of each run; what is not known of any run is left out."""
    facts = [_facts(run) for run in runs]
    labels = dict.fromkeys(label for of_run in facts for label in of_run)
    return [(label, [of_run.get(label, "–") for of_run in facts]) for label in labels]


def differences_between(runs: Sequence[Run]) -> list[Difference]:
    """Settings that are not the same in all runs."""
    return [row for row in _settings(runs) if len(set(row.values)) > 1]


def differences_from_defaults(runs: Sequence[Run]) -> list[Difference]:
    """Settings that are not Detectron2's or ours in some run; all settings of LazyConfigs, which
    have no defaults."""
    return [row for row in _settings(runs) if set(row.values) != {row.default}]


def _settings(runs: Sequence[Run]) -> list[Difference]:
    configs = [dict(flatten(run.config)) for run in runs]
    defaults = _defaults() if any("MODEL" in run.config for run in runs) else {}
    keys = dict.fromkeys([*defaults, *(key for config in configs for key in config)])
    return [
        Difference(
            key, _text(defaults.get(key, "")), [_text(config.get(key, "")) for config in configs]
        )
        for key in keys
        if key not in ("OUTPUT_DIR", "train.output_dir") and any(configs)
    ]


@functools.cache
def _defaults() -> dict:
    cfg = get_cfg()
    add_eql_config(cfg)
    return dict(flatten(yaml.safe_load(cfg.dump())))  # lists and not tuples, as in the file


def _facts(run: Run) -> dict[str, str]:
    config = dict(flatten(run.config))
    facts = {"Folder": str(run.output_dir)}
    for label, *keys in _SETTINGS:
        value = next((config[key] for key in keys if key in config), None)
        if value not in (None, "", []):
            facts[label] = _text(value)
    if config.get("SEED", config.get("train.seed", 0)) == -1:
        facts["Seed"] = "none"
    lazy_loss = next((value for key, value in config.items() if _LAZY_LOSS.fullmatch(key)), None)
    if lazy_loss is not None:
        facts["Loss"] = _text(lazy_loss).rpartition(".")[2]
    if run.iterations is not None:
        total = next((config[key] for key in _MAX_ITER if key in config), None)
        facts["Iterations"] = f"{run.iterations:,}" + (
            f" of {total:,}" if isinstance(total, int) else ""
        )
    versions = {}
    for label, texts in _of_evaluations(run).items():
        facts[label] = "; ".join(texts)
    if run.evaluations:
        versions = run.evaluations[-1]["versions"]
    if run.record:
        facts["Categories"] = group_sizes(run)
        facts["Gradient record"] = _record(run)
        versions = run.record.versions
    if versions:
        facts["Versions"] = ", ".join(f"{name} {version}" for name, version in versions.items())
    return facts


def _of_evaluations(run: Run) -> dict[str, dict[str, None]]:
    """Evaluators, and rules of the groups, each once."""
    found = {}
    for evaluation in run.evaluations:
        found.setdefault("Evaluator", {})[evaluation["evaluator"]] = None
        if evaluation["groups"].get("rule"):
            found.setdefault("Groups", {})[evaluation["groups"]["rule"]] = None
    return found


def _record(run: Run) -> str:
    iterations, losses = run.record.iterations, list(run.record.losses)
    text = f"{len(iterations):,} rows, iterations {iterations[0]:,} to {iterations[-1]:,}, "
    text += f"of {losses[-1]}"
    return text + (f" (shown), {', '.join(losses[:-1])}" if len(losses) > 1 else "")


def _text(value) -> str:
    if isinstance(value, (list, tuple)) and all(isinstance(entry, str) for entry in value):
        text = ", ".join(value)
    else:
        text = str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …"

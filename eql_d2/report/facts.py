"""What the runs were: settings, what differs from the defaults, versions, data, evaluator."""

import functools
import re
from collections.abc import Sequence

import yaml

from ..config import default_config
from ..drawn_seed import read_drawn_seed
from .drawing import members
from .run import Run, flatten, group_names

# Label, key of a yaml config and of a LazyConfig
_SETTINGS = (
    ("Loss", "MODEL.EQL.LOSS", None),
    ("Training data", "DATASETS.TRAIN", "dataloader.train.dataset.names"),
    ("Test data", "DATASETS.TEST", "dataloader.test.dataset.names"),
    ("Images a step", "SOLVER.IMS_PER_BATCH", "dataloader.train.total_batch_size"),
    ("Learning rate", "SOLVER.BASE_LR", "optimizer.lr"),
    ("Sampler", "DATALOADER.SAMPLER_TRAIN", "dataloader.train.sampler._target_"),
    ("Initial weights", "MODEL.WEIGHTS", "train.init_checkpoint"),
)
_MAX_ITER = ("SOLVER.MAX_ITER", "train.max_iter")
_EPOCHS = ("SOLVER.EPOCHS", "train.epochs")
_LAZY_LOSS = re.compile(r"(?:.+\.)?(?:loss_cls|loss)\._target_")
_LONGEST = 300
_UNKNOWN = "drawn, not known"


def run_facts(runs: Sequence[Run]) -> tuple[list[str], list[list[str]]]:
    """Header (none for one run), and rows of a label and the fact of each run; what is not known of
    any run is left out."""
    facts = [_facts(run) for run in runs]
    labels = dict.fromkeys(label for of_run in facts for label in of_run)
    header = ["", *(run.name for run in runs)] if len(runs) > 1 else []
    return header, [[label, *(of_run.get(label, "–") for of_run in facts)] for label in labels]


def differences_between(runs: Sequence[Run]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the settings that are not the same in all runs."""
    rows = [[key, *values] for key, _, *values in _settings(runs) if len(set(values)) > 1]
    return ["setting", *_names(runs)], rows


def differences_from_defaults(runs: Sequence[Run]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the settings that are not Detectron2's or ours in some run; all settings
    of LazyConfigs, which have no defaults."""
    rows = [row for row in _settings(runs) if set(row[2:]) != {row[1]}]
    header = ["setting", "default", *_names(runs)]
    if not has_defaults(runs):
        for row in (header, *rows):
            del row[1]
    return header, rows


def different_seeds(runs: Sequence[Run]) -> str:
    """A line where trainings that are compared do not have the same seed; "" where they do."""
    seeds = {run.name: _seed(run) for run in runs if run.iterations is not None}
    seeds = {name: seed for name, seed in seeds.items() if seed}
    # Two that were drawn are not the same, known or not
    if len(seeds) < 2 or (len(set(seeds.values())) == 1 and _UNKNOWN not in seeds.values()):
        return ""
    listed = _text(", ".join(f"{name}: {seed}" for name, seed in seeds.items()))
    return (
        f"what comes from the settings alone, as the seeds differ, too ({listed}): train all with "
        "one SEED, or each with several as a study"
    )


def has_defaults(runs: Sequence[Run]) -> bool:
    """Whether a run has a yaml config, which begins with defaults."""
    return any("MODEL" in run.config for run in runs)


def _names(runs: Sequence[Run]) -> list[str]:
    return [run.name for run in runs] if len(runs) > 1 else ["run"]


def _settings(runs: Sequence[Run]) -> list[list[str]]:
    """Key, default ("" if there is none), and value in each run."""
    configs = [dict(flatten(run.config)) for run in runs]
    columns = [_defaults() if has_defaults(runs) else {}, *configs]
    keys = dict.fromkeys(key for column in columns for key in column)
    return [
        [key, *(_text(column.get(key, "")) for column in columns)]
        for key in keys
        if key not in ("OUTPUT_DIR", "train.output_dir")
    ]


@functools.cache
def _defaults() -> dict:
    as_in_the_file = yaml.safe_load(default_config().dump())  # lists and not tuples
    return dict(flatten(as_in_the_file))


def _facts(run: Run) -> dict[str, str]:
    config = dict(flatten(run.config))
    facts = {"Folder": str(run.output_dir)}
    for label, *keys in _SETTINGS:
        value = next((config[key] for key in keys if key in config), None)
        if value not in (None, "", []):
            facts[label] = _text(value)
    if seed := _seed(run):
        facts["Seed"] = seed
    targets = (value for key, value in config.items() if _LAZY_LOSS.fullmatch(key))
    lazy_loss = next((value for value in targets if not str(value).endswith(".calibrate")), None)
    if lazy_loss is not None:
        facts["Loss"] = _text(lazy_loss).rpartition(".")[2]
    if run.iterations is not None:
        total = next((config[key] for key in _MAX_ITER if key in config), None)
        if any(config.get(key) for key in _EPOCHS):
            total = None  # of a schedule in epochs the config does not know it
        of_total = f" of {total:,}" if isinstance(total, int) else ""
        facts["Iterations"] = f"{run.iterations:,}{of_total}"
    evaluators = [evaluation["evaluator"] for evaluation in run.evaluations]
    rules = [evaluation["groups"].get("rule") for evaluation in run.evaluations]
    for label, texts in (("Evaluator", evaluators), ("Groups", rules)):
        if any(texts):
            facts[label] = "; ".join(dict.fromkeys(filter(None, texts)))  # each once
    versions = run.evaluations[-1]["versions"] if run.evaluations else {}
    if run.record:
        names, groups = group_names(run), reversed(members(run.record.categories).items())
        sizes = ", ".join(f"{len(index):,} {names[group]}" for group, index in groups)
        facts["Categories"] = f"{len(run.record.categories):,}: {sizes}"
        facts["Gradient record"] = _record(run)
        versions = run.record.versions
    if versions:
        facts["Versions"] = ", ".join(f"{name} {version}" for name, version in versions.items())
    return facts


def _record(run: Run) -> str:
    iterations, losses = run.record.iterations, list(run.record.losses)
    others = f" (shown), {', '.join(losses[:-1])}" if len(losses) > 1 else ""
    return (
        f"{len(iterations):,} rows, iterations {iterations[0]:,} to {iterations[-1]:,}, "
        f"of {losses[-1]}{others}"
    )


def _seed(run: Run) -> str:
    """In words; "" if the config is not known. A LazyConfig without one draws it, too."""
    config = dict(flatten(run.config))
    seed = config.get("SEED", config.get("train.seed", -1))
    if not config or type(seed) is not int:
        return ""
    if seed >= 0:
        return str(seed)
    drawn = read_drawn_seed(run.output_dir)
    return _UNKNOWN if drawn is None else f"{drawn}, drawn"


def _text(value) -> str:
    is_list = isinstance(value, (list, tuple)) and all(isinstance(entry, str) for entry in value)
    text = ", ".join(value) if is_list else str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …"

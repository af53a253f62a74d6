"""The checks of ``yaml_checks.py`` for a LazyConfig."""

import math
from collections.abc import Iterable, Iterator, Mapping

from detectron2.config import instantiate
from omegaconf import DictConfig, OmegaConf

from ...data.category_groups import frequency_groups, group_labels
from ...exceptions import InputError
from ...messages import first_line, shown
from ...refusals import refusal
from ...solver.weight_decay import check_overrides
from ...tasks import TASKS
from ..build import EQLSettings
from .environment import (
    check_batch_size,
    check_device,
    check_micro_batches,
    check_names,
    check_output_dir,
    check_precision,
)
from .rules import LAZY_RULES, RULES

_NEEDED = (
    *("train.output_dir", "train.init_checkpoint", "train.device", "dataloader.evaluator"),
    *("dataloader.train.dataset.names", "dataloader.test.dataset.names"),
    *("model._target_", "dataloader.train._target_", "dataloader.test._target_"),
)
_NEEDED_IN_TRAINING = (
    *("train.max_iter", "train.amp.enabled", "train.ddp", "train.checkpointer.period"),
    *("train.eval_period", "train.log_period", "dataloader.train.total_batch_size"),
    *("optimizer._target_", "optimizer.params._target_", "lr_multiplier._target_"),
)
_CLASS_RULES = {
    count.lazy_key: RULES[count.yaml_key] for task in TASKS for count in task.class_counts.values()
}
_READ_IN_TRAINING = ("optimizer.", "lr_multiplier", "dataloader.train.", "train.eval_period")


def check_lazy(cfg: DictConfig, own_data: Mapping[str, Iterable], training: bool) -> None:
    """Check the values of a LazyConfig and that its data and its output folder can be there.

    Args:
        cfg: as :func:`eql_d2.engine.config.lazy_files.load_lazy` returns it.
        own_data: data sets that the run is about to register, as
            :func:`eql_d2.engine.arguments.own_data_of` returns them.
        training: whether the run trains.

    Raises:
        InputError: a line for each problem.
    """
    values, problems = {}, []
    for name in ("model", "dataloader", "train", *(("optimizer", "lr_multiplier") * training)):
        try:
            values[name] = OmegaConf.to_container(cfg[name], resolve=True, throw_on_missing=True)
        except Exception as error:  # of OmegaConf, or a resolver's own
            problems.append(f"{name} cannot be resolved ({first_line(error)}): correct it")
    if not problems:
        own = [name for entries in own_data.values() for name, *_ in entries]
        problems = list(_problems(cfg, values, own, training))
    if problems:
        raise InputError(*problems)


def _problems(
    cfg: DictConfig, values: Mapping, own: Iterable[str], training: bool
) -> Iterator[str]:
    present = dict(_values(values))
    for key in (*_NEEDED, *(_NEEDED_IN_TRAINING * training)):
        if not any(other == key or other.startswith(f"{key}.") for other in present):
            yield f"{key} is missing: give it, as the configs in configs/ do"
    wrong = set()
    for key, rule in (LAZY_RULES | _CLASS_RULES).items():
        is_read = training or not key.startswith(_READ_IN_TRAINING)
        if key in present and is_read and not rule.holds(present[key]):
            wrong.add(key)
            yield rule.problem(key, present[key])
    size = "dataloader.train.total_batch_size"
    if training and size in present and size not in wrong:
        yield from check_batch_size(size, present[size])
        if "train.micro_batches" in present and "train.micro_batches" not in wrong:
            number = present["train.micro_batches"]
            yield from check_micro_batches("train.micro_batches", number, present[size])
    if "train.device" in present:
        yield from check_device("train.device", present["train.device"])
        if training:
            enabled = present.get("train.amp.enabled")
            yield from check_precision("train.amp.enabled", enabled, present["train.device"])
    if "train.output_dir" in present and "train.output_dir" not in wrong:
        yield from check_output_dir("train.output_dir", present["train.output_dir"])
    for split in ("train", "test"):
        key = f"dataloader.{split}.dataset.names"
        if training or split == "test":
            yield from _check_names(key, present[key], own) if key in present else ()
    yield from _settings(cfg)
    if training:
        overrides = present.get("optimizer.params.weight_decay_overrides", ())
        yield from refusal(check_overrides, overrides)
    for name in ("mosaic", "copy_paste"):
        if training and OmegaConf.select(cfg, f"dataloader.train.{name}") is not None:
            yield from refusal(instantiate, cfg.dataloader.train[name])
    if training and not any(key.startswith("lr_multiplier") for key in wrong):
        yield from _learning_rate(cfg)


def _values(content: Mapping, path: str = "") -> Iterator[tuple[str, object]]:
    """Dotted keys of mappings and their values; lists stay whole."""
    for key, value in content.items():
        if isinstance(value, Mapping) and value:
            yield from _values(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value


def _check_names(key: str, names: object, own: Iterable[str]) -> Iterator[str]:
    names = [names] if isinstance(names, str) else names
    if isinstance(names, (list, tuple)) and all(isinstance(name, str) for name in names):
        yield from check_names(key, names, own, True)
    else:
        yield f"{key} is {shown(names)}: give the name of a data set, or a list of names"


def _settings(cfg: DictConfig) -> Iterator[str]:
    refused = list(refusal(EQLSettings.from_lazy, cfg))
    yield from refused
    if not refused:
        settings = EQLSettings.from_lazy(cfg)
        try:
            frequency_groups((), settings.frequency_thresholds)
            group_labels((), (), *settings.sem_seg_groups)
        except InputError as error:
            yield str(error)
        except TypeError as error:  # no values in brackets
            yield f"train.eql cannot be used ({first_line(error)}): see configs/common/train.py"


def _learning_rate(cfg: DictConfig) -> Iterator[str]:
    try:
        multiplier = instantiate(cfg.lr_multiplier)
        factors = [multiplier(where) for where in (0.0, 0.5, 0.999)]
        is_right = all(math.isfinite(factor) for factor in factors)
    except Exception as error:  # of any scheduler
        yield f"lr_multiplier cannot be used ({first_line(error)}): correct its arguments"
    else:
        if not is_right:
            yield f"lr_multiplier is {factors} at the start, middle and end: it must be finite"

"""Settings of the runs: their configs and overrides, checked before anything is trained."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from detectron2.config import CfgNode

from ..config import content_of
from ..engine import get_parser
from ..engine.train_net import read_run
from ..exceptions import InputError
from ..model_zoo import CONFIGS
from .checks import checked_mapping, listed
from .data import existing_path
from .inputs import inputs_of

_RUN_KEYS = ("config", "overrides", "weights_of")
_SET_BY_THE_STUDY = ("OUTPUT_DIR", "SEED")


class Settings(NamedTuple):
    """Settings of a run.

    Attributes:
        config: absolute path of the config.
        words: overrides as ``train_net.py`` takes them: key, value, key, value ...
        content: of the config file and its bases, to tell a later change of them.
        max_iter: ``SOLVER.MAX_ITER`` with the overrides.
        inputs: files that decide the numbers, too, see :func:`eql_d2.study.inputs.inputs_of`.
        device: ``MODEL.DEVICE``.
        weights_of: the run whose weights are evaluated; None for one that trains.
    """

    config: Path
    words: tuple[str, ...]
    content: dict[str, Any]
    max_iter: int
    inputs: tuple[tuple[str, bool], ...]
    device: str
    weights_of: str | None


def settings_of_runs(
    content: Mapping[str, Any], options: Sequence[str], output: Path
) -> dict[str, Settings]:
    """Settings of each run of a STUDY.yaml.

    A run that evaluates the weights of another and has no config of its own takes config and
    overrides of that one, but for the overrides that it has itself.

    Args:
        content: of the file.
        options: of ``train_net.py``, that name own data.
        output: folder of the study.

    Raises:
        InputError: a run is not a mapping with the keys of one, has no config, a bad override, or
            weights of a run that does not train.
    """
    shared = checked_mapping(content.get("overrides"), "overrides")
    runs = {
        name: checked_mapping(run, f"runs.{name}", _RUN_KEYS)
        for name, run in content["runs"].items()
    }
    trained = [name for name, run in runs.items() if run.get("weights_of") is None]
    settings = {}
    for name, run in runs.items():
        where, source = f"runs.{name}", run.get("weights_of")
        overrides = checked_mapping(run.get("overrides"), f"{where}.overrides")
        config = run.get("config")
        if source is not None:
            if source not in trained:
                raise InputError(
                    f"{where}: weights_of {source!r} is not a run that trains: give one of "
                    f"{listed(trained) or 'them a config in place of weights_of'}"
                )
            if "MODEL.WEIGHTS" in overrides:
                raise InputError(f"{where} has weights_of and MODEL.WEIGHTS: remove one of them")
            if config is None:
                config = runs[source].get("config")
                of_source = checked_mapping(
                    runs[source].get("overrides"), f"runs.{source}.overrides"
                )
                overrides = {**of_source, **overrides}
        config = content.get("config") if config is None else config
        if not isinstance(config, str):
            raise InputError(f"{where} has no config: give it one, or one for all runs")
        path = existing_path(_from_model_zoo(config), f"{where}: config")
        words = _override_words({**shared, **overrides}, where)
        cfg = _read_config(
            path, [*options, *words, "OUTPUT_DIR", str(output / name)], where, source
        )
        settings[name] = Settings(
            path,
            words,
            content_of(str(path)),
            cfg.SOLVER.MAX_ITER,
            inputs_of(cfg, source is None),
            cfg.MODEL.DEVICE,
            source,
        )
    return settings


def _from_model_zoo(config: str) -> str:
    """Path of a ``configs/...`` that is not in the current directory but comes with the package."""
    path = CONFIGS.parent / config
    return str(path) if not Path(config).exists() and path.is_relative_to(CONFIGS) else config


def _read_config(config: Path, words: Sequence[str], where: str, source: str | None) -> CfgNode:
    """The config, checked as ``train_net.py`` will with these options and overrides."""
    if config.suffix == ".py":
        raise InputError(f"{where}: config {config} is a LazyConfig: give its .yaml twin")
    evaluation = [] if source is None else ["--eval-only"]
    arguments = ["--config-file", str(config), *evaluation, *words]
    try:
        cfg = read_run(get_parser().parse_args(arguments))
    except InputError as error:
        raise InputError(*(f"{where}: {line}" for line in error.problems)) from error
    if cfg.SOLVER.EPOCHS:
        raise InputError(
            f"{where}: SOLVER.EPOCHS of {config} is {cfg.SOLVER.EPOCHS}, but a study counts in "
            "iterations: override SOLVER.EPOCHS with 0 and give SOLVER.MAX_ITER"
        )
    return cfg


def _override_words(overrides: Mapping[str, Any], where: str) -> tuple[str, ...]:
    """Overrides as ``train_net.py`` takes them. A text is taken as on the command line, so that
    ``"('my_train',)"`` is a tuple."""
    pairs = [(key, _override_word(key, value, where)) for key, value in overrides.items()]
    return tuple(word for pair in pairs for word in pair)


def _override_word(key: Any, value: Any, where: str) -> str:
    """An override's value as a word of the command line."""
    if not isinstance(key, str) or isinstance(value, dict):
        raise InputError(
            f"{where}: override {key} is not a dotted key with a value: write for example "
            "SOLVER.MAX_ITER: 1600"
        )
    if key in _SET_BY_THE_STUDY:
        raise InputError(f"{where}: override {key} is set by the study (seeds, output): remove it")
    return value if isinstance(value, str) else repr(value)

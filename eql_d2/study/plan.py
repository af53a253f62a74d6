"""The plan of a study: STUDY.yaml, checked as a whole, and the trials that it asks for."""

import dataclasses
import hashlib
import importlib
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ..exceptions import InputError
from ..files import check_local
from .checks import (
    UniqueKeyLoader,
    checked_count,
    checked_list,
    checked_mapping,
    checked_seeds,
    listed,
)
from .data import checked_options, generated_options
from .settings import Settings, settings_of_runs

TRAIN_NET = ("-m", "eql_d2.engine")  # train_net.py, which is in a clone alone
_KEYS = (
    *("output", "jobs", "gpus", "seeds", "baseline"),
    *("module", "data", "config", "overrides", "runs"),
)
_NAME = re.compile(r"\w[\w.+=-]*", re.ASCII)
# What a study writes beside the folders of its runs
_OWN_FILES = ("lock", "figures", "report.html", "runs.csv", "table.csv", "table.md")


@dataclasses.dataclass(frozen=True)
class Trial:
    """One run with one seed.

    Attributes:
        run: name of the run.
        seed: of the training.
        folder: its OUTPUT_DIR.
        command: of the process, with all arguments.
        fingerprint: of all in the study and its configs that decides the numbers; paths of the
            output are not among it, so that the folder can be moved.
        max_iter: steps of the training; 0 for an evaluation.
        inputs: files that decide the numbers, too, see :func:`eql_d2.study.inputs.inputs_of`.
        gpus: that it needs, on a machine that has some; 0 if it computes on CPUs.
        source: the trial whose last weights are evaluated; None for a training.
    """

    run: str
    seed: int
    folder: Path
    command: tuple[str, ...]
    fingerprint: str
    max_iter: int
    inputs: tuple[tuple[str, bool], ...] = ()
    gpus: int = 0
    source: "Trial | None" = None

    @property
    def name(self) -> str:
        return f"{self.run}/seed{self.seed}"


@dataclasses.dataclass(frozen=True)
class Study:
    """A study that has been checked.

    Attributes:
        name: for headings.
        output: absolute path of its folder.
        jobs: trials at a time.
        gpus: of each trial.
        seeds: of each run.
        runs: names in the order of the file.
        baseline: the run that others are compared with.
        generated: name of the generated data set; None for other data.
        trials: in the order in which they start: all runs of the first seed come first.
    """

    name: str
    output: Path
    jobs: int
    gpus: int
    seeds: tuple[int, ...]
    runs: tuple[str, ...]
    baseline: str
    generated: str | None
    trials: tuple[Trial, ...]


def read_study(path: Path) -> Study:
    """Read and check a study.

    Raises:
        InputError: the file cannot be read, or :func:`make_study` refuses it.
    """
    try:
        with open(path, encoding="utf-8") as file:
            content = yaml.load(file, Loader=UniqueKeyLoader)
        return make_study(content, path.stem)
    except OSError as error:
        raise InputError(
            f"study {path} cannot be read: {error.strerror}; check the path"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        line = " ".join(str(error).split())
        raise InputError(f"study {path} is not valid YAML: {line}") from error
    except InputError as error:
        raise InputError(*(f"study {path}: {line}" for line in error.problems)) from error


def make_study(content: Any, name: str) -> Study:
    """Check the content of a STUDY.yaml.

    Args:
        content: as :mod:`eql_d2.study.__main__` describes it.
        name: for headings, and of the folder in ``output/study`` if the content names none.

    Raises:
        InputError: anything in it is unknown, missing or of the wrong kind.
    """
    content = checked_mapping(content, "the file", _KEYS)
    runs = checked_mapping(content.get("runs"), "runs")
    _check_run_names(runs)
    baseline = content.get("baseline", next(iter(runs)))
    if baseline not in list(runs):
        raise InputError(f"baseline {baseline!r} is not among the runs: give one of {listed(runs)}")
    output = content.get("output", f"output/study/{name}")
    if not isinstance(output, str) or not output:
        raise InputError(f"output is {output!r}: give a folder")
    check_local(output, "output")
    output = Path.cwd() / Path(output).expanduser()
    seeds = checked_seeds(content.get("seeds"))
    jobs = checked_count(content.get("jobs", 1), "jobs")
    gpus = checked_count(content.get("gpus", 1), "gpus")
    program = _program(content.get("module"))
    generated, options = _data(content)
    # Of several a process for each, whose order of the data is another
    options = [*(["--num-gpus", str(gpus)] if gpus > 1 else []), *options]
    settings = settings_of_runs(content, options, output)
    evaluated = [run for run, values in settings.items() if values.weights_of is not None]
    if evaluated and program != TRAIN_NET:
        raise InputError(
            f"runs.{evaluated[0]} has weights_of, but {program[1]} only trains: leave out one of "
            "them"
        )
    trials = [
        trial for seed in seeds for trial in _trials(program, settings, options, output, seed, gpus)
    ]
    runs = tuple(runs)
    return Study(name, output, jobs, gpus, seeds, runs, baseline, generated, tuple(trials))


def _check_run_names(runs: Mapping) -> None:
    if not runs:
        raise InputError("there are no runs: give one or more under runs")
    for run in runs:
        if not isinstance(run, str) or not _NAME.fullmatch(run) or run in _OWN_FILES:
            raise InputError(
                f"run name {run!r} cannot name a folder of the study: take letters, digits and "
                f"_ . + = -, quoted if they look like a number, and none of {listed(_OWN_FILES)}"
            )


def _program(module: Any) -> tuple[str, ...]:
    """How trials are started: ``train_net.py``, or a module of the same arguments, which may
    register data sets when it is imported."""
    if module is None:
        return TRAIN_NET
    try:
        importlib.import_module(module)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise InputError(
            f"module {module!r} cannot be imported ({error}): give one that is started as "
            "train_net.py is, for example eql_d2.demo.lvis_shaped"
        ) from error
    return ("-m", module)


def _data(content: Mapping) -> tuple[str | None, list[str]]:
    """Name of the generated data set, and all data options of ``train_net.py``."""
    data = checked_mapping(content.get("data"), "data", ("generate", "options"))
    generated = data.get("generate")
    options = [] if generated is None else generated_options(generated)
    return generated, options + checked_options(
        checked_list(data.get("options", []), "data.options")
    )


def _trials(
    program: Sequence[str],
    settings: Mapping[str, Settings],
    options: Sequence[str],
    output: Path,
    seed: int,
    gpus: int,
) -> list[Trial]:
    """Trials of one seed in the order of the runs; those that train are made first."""
    trials = {}
    for name, run in sorted(settings.items(), key=lambda item: item[1].weights_of is not None):
        source = trials.get(run.weights_of)
        folder = output / name / f"seed{seed}"
        command = [sys.executable, "-W", "ignore", *program]
        command += ["--eval-only"] if source else []
        command += ["--config-file", str(run.config), *options, *run.words]
        command += ["OUTPUT_DIR", str(folder)]
        command += ["MODEL.WEIGHTS", str(source.folder / "model_final.pth")] if source else []
        decisive = [run.content, options, run.words, seed, source and source.fingerprint]
        decisive += [] if program == TRAIN_NET else [program]
        trials[name] = Trial(
            run=name,
            seed=seed,
            folder=folder,
            command=(*command, "SEED", str(seed)),
            fingerprint=hashlib.sha256(json.dumps(decisive, default=str).encode()).hexdigest(),
            max_iter=0 if source else run.max_iter,
            inputs=run.inputs,
            gpus=0 if run.device == "cpu" else gpus,
            source=source,
        )
    return [trials[name] for name in settings]

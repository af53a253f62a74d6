"""One run of ``train_net.py``, in a process of its own that has imported all it needs."""

import json
import math
import multiprocessing
import os
import re
import runpy
import shutil
import sys
import time
from pathlib import Path
from typing import NamedTuple

from .configs import ROOT, name_of
from .overrides import STEPS, arguments

_TIMEOUT = 1800  # seconds
_COLORS = re.compile(r"\x1b\[[0-9;]*m")


class Outcome(NamedTuple):
    """Of the run of a config; its error is empty where it ended well."""

    config: Path
    error: str
    seconds: float


def prepare(folder: Path) -> None:
    """Set up the processes to come: data sets and weights are below the folder."""
    os.environ["DETECTRON2_DATASETS"] = str(folder / "datasets")
    os.environ["FVCORE_CACHE"] = str(folder / "cache")
    # The server imports PyTorch and Detectron2 once, the processes that it forks have them.
    multiprocessing.get_context("forkserver").set_forkserver_preload(
        [__name__, "eql_d2.engine.__main__"]
    )


def run(config: Path, folder: Path, logs: Path) -> Outcome:
    """Train and evaluate; what the process prints goes to a file that stays if it fails."""
    name = name_of(config).replace("/", "-")
    log, output_dir = logs / f"{name}.log", folder / "output" / name
    start = time.monotonic()
    process = multiprocessing.get_context("forkserver").Process(
        target=_train_and_check, args=(config, folder, output_dir, log)
    )
    process.start()
    process.join(_TIMEOUT)
    error = ""
    if process.exitcode is None:
        process.kill()
        process.join()
        error = f"did not end within {_TIMEOUT} seconds"
    elif process.exitcode != 0:
        error = _last_line(log) or f"exit code {process.exitcode}"
    shutil.rmtree(output_dir, ignore_errors=True)
    if not error:
        log.unlink()
    return Outcome(config, error, time.monotonic() - start)


def _train_and_check(config: Path, folder: Path, output_dir: Path, log: Path) -> None:
    with log.open("w") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    os.chdir(folder)  # where R-152.pkl lies
    sys.argv = ["train_net.py", *arguments(config, output_dir, folder)]
    runpy.run_path(str(ROOT / "train_net.py"), run_name="__main__")
    check(output_dir)


def check(output_dir: Path) -> None:
    """Whether a run did what it should, besides ending well.

    Raises:
        SystemExit: it has not trained all steps, saved a model and evaluated it.
    """
    lines = [json.loads(line) for line in (output_dir / "metrics.json").open()]
    losses = {line["iteration"]: line["total_loss"] for line in lines if "total_loss" in line}
    if list(losses) != [STEPS - 1] or not all(map(math.isfinite, losses.values())):
        raise SystemExit(f"the losses by iteration are {losses}")
    if not (output_dir / "model_final.pth").is_file():
        raise SystemExit("there is no model_final.pth")
    evaluations = [json.loads(path.read_text()) for path in output_dir.rglob("evaluation.json")]
    results = [numbers for found in evaluations for numbers in found["results"].values()]
    if not results:
        raise SystemExit("there is no evaluation")
    for numbers in results:
        main = next(iter(numbers))  # AP, top-1 accuracy or mIoU
        if not math.isfinite(numbers[main]):
            raise SystemExit(f"{main} is {numbers[main]}: nothing was predicted")


def _last_line(log: Path) -> str:
    lines = [line.strip() for line in _COLORS.sub("", log.read_text()).splitlines()]
    return next((line for line in reversed(lines) if line), "")

"""The two programs that match detections with LVIS ground truth and give the curves."""

import functools
import importlib
import importlib.metadata
import logging
import types
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ...exceptions import InputError
from ..evaluated_categories import EvaluatedCategories, mean_precision

_AREAS = ("", "s", "m", "l")  # all, small, medium, large: last axis of the curves


class Curves(NamedTuple):
    """Result of an engine; -1 where a category has no ground truth.

    Attributes:
        precision: float64 (10 IoU thresholds, 101 recalls, categories by id, 4 areas).
        recall: float64 (10 IoU thresholds, categories by id, 4 areas).
    """

    precision: np.ndarray
    recall: np.ndarray

    def summarize(self, max_dets: int, categories: EvaluatedCategories) -> dict[str, float]:
        """LVIS's 13 numbers in percent, nan for what cannot be computed.

        Args:
            max_dets: limit of detections per image, part of the names of the recalls.
            categories: with their groups.
        """
        results = {
            "AP": mean_precision(self.precision[..., 0]),
            "AP50": mean_precision(self.precision[0, ..., 0]),
            "AP75": mean_precision(self.precision[5, ..., 0]),
        }
        for area, name in enumerate(_AREAS):  # that of all is there already, in front
            results[f"AP{name}"] = mean_precision(self.precision[..., area])
        results |= categories.mean_precisions(self.precision[..., 0])
        for area, name in enumerate(_AREAS):
            results[f"AR{name}@{max_dets}"] = mean_precision(self.recall[..., area])
        return results


class Engine(NamedTuple):
    """An engine and its name with version, for the log.

    `run(ground truth file, results file, "bbox" or "segm", max_dets)` gives the `Curves`. Both
    files are JSON; the results must not be empty, and those for "segm" have no "bbox", so that
    the area of the mask counts. `max_dets` limits the detections per image, -1 does not.
    `reads(ground truth file)` is whether it takes what else the file has: hotcoco refuses a name
    that is a number, and numbers and text that only Python's JSON knows.
    """

    name: str
    reads: Callable[[str], bool]
    run: Callable[[str, str, str, int], Curves]


def curves_without_detections(num_categories: int) -> Curves:
    """Curves of which nothing can be computed."""
    shape = (10, num_categories, len(_AREAS))
    return Curves(np.full((10, 101, num_categories, len(_AREAS)), -1.0), np.full(shape, -1.0))


def choose_engine(name: str | None) -> Engine:
    """The engine of that name; None takes hotcoco if it is installed and lvis otherwise.

    Raises:
        InputError: the name is unknown or the engine is not installed.
    """
    if name is not None and name not in _CLASS:
        raise InputError(f"LVIS engine {name!r} is unknown: use one of {sorted(_CLASS)} or None")
    for candidate in [name] if name else _CLASS:
        try:
            module = importlib.import_module(candidate)
        except ImportError as error:
            logging.getLogger(__name__).debug("LVIS engine %s: %s", candidate, error)
            continue
        version = importlib.metadata.version(candidate)
        run = functools.partial(_run, module, _CLASS[candidate](module))
        reads = functools.partial(_reads, module) if candidate == "hotcoco" else lambda path: True
        return Engine(f"{candidate} {version}", reads, run)
    raise InputError(
        f"LVIS engine {name or 'hotcoco'} cannot be imported: pip install {name or 'hotcoco'}"
    )


def _reads(module: types.ModuleType, truth: str) -> bool:
    try:
        module.LVIS(truth)
    except ValueError:
        return False
    return True


def _run(
    module: types.ModuleType, eval_class: type, truth: str, results: str, task: str, max_dets: int
) -> Curves:
    ground_truth = module.LVIS(truth)
    detections = module.LVISResults(ground_truth, results, max_dets=max_dets)
    evaluation = eval_class(ground_truth, detections, task)
    evaluation.evaluate()
    evaluation.accumulate()
    precision, recall = evaluation.eval["precision"], evaluation.eval["recall"]
    # hotcoco has one axis more, the one limit of detections.
    return Curves(precision.reshape(precision.shape[:4]), recall.reshape(recall.shape[:3]))


def _lvis_eval_class(lvis: types.ModuleType) -> type:
    """LVISEval that works with numpy >= 1.24 and without `frequency` in the categories.

    `accumulate` of lvis 0.5.3, the last release, uses `np.float`, which numpy has removed. Here
    the same code runs with globals of its own, so neither lvis nor numpy is changed.
    """
    numpy_with_float = types.SimpleNamespace(**{**vars(np), "float": float})

    class Evaluation(lvis.eval.LVISEval):
        accumulate = types.FunctionType(
            lvis.eval.LVISEval.accumulate.__code__, {**vars(lvis.eval), "np": numpy_with_float}
        )

        def _prepare_freq_group(self) -> list:
            return []  # `Curves` does the groups

    return Evaluation


_CLASS = {"hotcoco": lambda hotcoco: hotcoco.LVISeval, "lvis": _lvis_eval_class}

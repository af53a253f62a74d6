"""``evaluation.json``: what an evaluator found, on which data, by which rule and version."""

import logging
import math
import os
from collections import Counter
from collections.abc import Mapping

from ..data import GROUP_NAMES
from ..exceptions import InputError
from ..files import read_json, write_json
from ..versions import versions
from .evaluated_categories import EvaluatedCategories

logger = logging.getLogger(__name__)

FILE = "evaluation.json"
_VERSION = 1


def write_evaluation(
    folder: str | os.PathLike | None,
    dataset_name: str,
    evaluator: str,
    results: Mapping[str, Mapping[str, float]],
    categories: EvaluatedCategories,
    num_tested: int,
) -> None:
    """Write the file, and say how many categories the means are over; in the main process.

    Args:
        folder: of the evaluator; None writes nothing.
        dataset_name: evaluated data.
        evaluator: for people, with the version of a program that it uses.
        results: ``{task: {metric: value}}``; nan becomes null, and metrics of single classes, as
            Detectron2 has them with a "-" in their name, are left out.
        categories: with the rule of their groups.
        num_tested: categories that occur in the evaluated data: the means are over them.
    """
    sizes = Counter(group for group in categories.groups if group is not None)
    content = {
        "version": _VERSION,
        "dataset": dataset_name,
        "evaluator": evaluator,
        "versions": versions(),
        "num_categories": len(categories.ids),
        "num_tested": num_tested,
        "groups": {
            "rule": categories.rule,
            "thresholds": list(categories.thresholds),
            "sizes": {group: sizes[group] for group in reversed(GROUP_NAMES) if sizes[group]},
        },
        "results": {
            task: {
                key: float(x) if math.isfinite(x) else None
                for key, x in metrics.items()
                if "-" not in key
            }
            for task, metrics in results.items()
        },
    }
    if tested := says_tested(content):
        logger.log(logging.WARNING if num_tested == 1 else logging.INFO, tested)
    if folder is not None:
        write_json(os.path.join(folder, FILE), content)


def says_tested(evaluation: Mapping) -> str:
    """How many of the categories the means are over, one line; "" where that is all of them.

    Args:
        evaluation: content of the file.
    """
    num_tested, num_categories = (evaluation.get(f"num_{key}") for key in ("tested", "categories"))
    if num_tested is None or num_tested == num_categories:
        return ""
    over = "that one" if num_tested == 1 else "these"
    dataset = evaluation["dataset"]
    return f"{dataset} shows {num_tested} of {num_categories} categories: the means are over {over}"


def read_evaluation(path: str | os.PathLike) -> dict:
    """Read the file.

    Raises:
        InputError: it cannot be read, is damaged or of another version.
    """
    content = read_json(path)
    if not isinstance(content, dict) or content.get("version") != _VERSION:
        raise InputError(f"{path} is no evaluation.json of this version: evaluate again")
    keys = {"dataset": str, "evaluator": str, "versions": dict, "groups": dict, "results": dict}
    valid = all(isinstance(content.get(key), kind) for key, kind in keys.items())
    valid = valid and isinstance(content["groups"].get("rule"), str | None)
    if not (valid and _are_results(content["results"])):
        raise InputError(f"{path} is damaged: evaluate again (train_net.py --eval-only)")
    return content


def _are_results(results: dict) -> bool:
    return all(
        isinstance(metrics, dict)
        and all(isinstance(value, int | float | None) for value in metrics.values())
        for metrics in results.values()
    )

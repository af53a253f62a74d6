"""What a checkpoint can hold: weights of this model or another, numbers that cannot be, code."""

import functools
import io
import os
from collections.abc import Callable
from pathlib import Path

import torch
from detectron2.utils.env import seed_all_rng

from eql_d2.engine import Trainer, load_yaml
from tests.fuzz.tiny_runs import TASKS, trained_checkpoint, workspace

_STATISTICS = "roi_heads.box_predictor.loss_cls.statistics"
_WEIGHT = "roi_heads.box_predictor.cls_score.weight"


class Evil:
    """A pickle of it runs a command."""

    def __reduce__(self):
        return os.system, (f"touch {evil_file()}",)


def evil_file() -> Path:
    return workspace() / "EVIL"


@functools.cache
def _models() -> dict[str, dict[str, torch.Tensor]]:
    """Weights of a model of each task."""
    seed_all_rng(1)
    return {
        task: Trainer.build_model(load_yaml(str(workspace() / f"{task}.yaml"), [])).state_dict()
        for task in TASKS
    }


def training_state() -> dict:
    return torch.load(io.BytesIO(trained_checkpoint()), weights_only=True)


def whole_weights() -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in _models()["twostage"].items()}


def _with(name: str, change: Callable) -> dict:
    weights = whole_weights()
    weights[name] = change(weights[name])
    return {"model": weights}


def _without(*words: str) -> dict:
    return {
        "model": {k: v for k, v in whole_weights().items() if not any(word in k for word in words)}
    }


def _with_average(weights: dict) -> dict:
    average = {f"module.{name}": value for name, value in weights.items()}
    return {"model": whole_weights(), "model_ema": {"n_averaged": torch.tensor(1), **average}}


def _first(value: float) -> Callable[[torch.Tensor], torch.Tensor]:
    def change(tensor):
        tensor.view(-1)[0] = value
        return tensor

    return change


def as_numpy(weights: dict) -> dict:
    return {name: value.numpy() for name, value in weights.items()}


# What a .pth file holds
CONTENTS: dict[str, Callable[[], object]] = {
    "whole": lambda: {"model": whole_weights()},
    "bare weights": whole_weights,
    "with module.": lambda: {"model": {f"module.{k}": v for k, v in whole_weights().items()}},
    "numpy weights": lambda: {"model": as_numpy(whole_weights())},
    "half precision": lambda: {"model": {k: v.half() for k, v in whole_weights().items()}},
    **{f"of {task}": lambda task=task: {"model": dict(_models()[task])} for task in TASKS[1:]},
    "nothing": dict,
    "no weights": lambda: {"model": {}},
    "weights are None": lambda: {"model": None},
    "weights are a list": lambda: {"model": list(whole_weights().values())},
    "weights are numbers": lambda: {"model": dict.fromkeys(whole_weights(), 1.0)},
    "weights are texts": lambda: {"model": dict.fromkeys(whole_weights(), "x")},
    "a list": lambda: [1, 2],
    "a tensor": lambda: torch.zeros(3),
    "a text": lambda: "model",
    "None": lambda: None,
    "number as name": lambda: {"model": {1: torch.zeros(1)}},
    "names upper case": lambda: {"model": {k.upper(): v for k, v in whole_weights().items()}},
    "no backbone": lambda: _without("backbone"),
    "no heads": lambda: _without("roi_heads"),
    "no box head": lambda: _without("box_"),
    "no statistics": lambda: _without("statistics"),
    "one weight": lambda: {"model": {_WEIGHT: whole_weights()[_WEIGHT]}},
    "transposed": lambda: {"model": {k: v.T.contiguous() for k, v in whole_weights().items()}},
    "every shape wrong": lambda: {"model": {k: torch.zeros(7, 7, 7) for k in whole_weights()}},
    "a column less": lambda: _with(_WEIGHT, lambda w: w[:-1]),
    "twice the classes": lambda: _with(_WEIGHT, lambda w: w.repeat(2, 1)),
    **{
        f"{where} {value}": lambda name=name, value=value: _with(name, _first(value))
        for where, name in (("weight", _WEIGHT), ("pos_grad", f"{_STATISTICS}.pos_grad"))
        for value in (float("nan"), float("inf"), -float("inf"))
    },
    "pos_grad -1": lambda: _with(f"{_STATISTICS}.pos_grad", _first(-1.0)),
    "neg_grad -1": lambda: _with(f"{_STATISTICS}.neg_grad", _first(-1.0)),
    "statistics of integers": lambda: _with(f"{_STATISTICS}.pos_grad", lambda s: s.long()),
    "statistics of other classes": lambda: _with(f"{_STATISTICS}.pos_grad", lambda s: s[:2]),
    "statistics are complex": lambda: _with(f"{_STATISTICS}.pos_grad", lambda s: s.cfloat()),
    "weight is integer": lambda: _with(_WEIGHT, lambda w: w.long()),
    "weight is sparse": lambda: _with(_WEIGHT, lambda w: w.to_sparse()),
    "weight is on meta": lambda: _with(_WEIGHT, lambda w: w.to("meta")),
    "weight is empty": lambda: _with(_WEIGHT, lambda w: w[:0]),
    "statistics nan, weight nan": lambda: {
        "model": {k: v * float("nan") for k, v in whole_weights().items()}
    },
    "an evil object": lambda: {"model": whole_weights(), "x": Evil()},
    "an evil weight": lambda: {"model": {**whole_weights(), _WEIGHT: Evil()}},
    "a class": lambda: {"model": whole_weights(), "x": Path("x")},
    "iteration is a text": lambda: {"model": whole_weights(), "iteration": "x"},
    "iteration -5": lambda: {"model": whole_weights(), "iteration": -5},
    "trainer is a list": lambda: {"model": whole_weights(), "trainer": [1]},
    "optimizer is empty": lambda: {"model": whole_weights(), "optimizer": {}, "scheduler": {}},
    "an average": lambda: _with_average(whole_weights()),
    "average of texts": lambda: _with_average(dict.fromkeys(whole_weights(), "x")),
    "average of nothing": lambda: _with_average({}),
    "average is nan": lambda: _with_average({k: v / 0 for k, v in whole_weights().items()}),
    "average is a list": lambda: {"model": whole_weights(), "model_ema": [1]},
    "average has a number as name": lambda: {
        "model": whole_weights(),
        "model_ema": {"n_averaged": 1, 1: torch.zeros(1)},
    },
}

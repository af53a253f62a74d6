"""A training is resumed with the settings that are given, or not at all.

Guards against what Detectron2 does without a word: the state of the optimizer brings the learning
rate and weight decay of the checkpoint back, whatever the config now says; another loss goes on
with statistics in another unit; another optimizer fails at its first step.
"""

import contextlib
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.engine import HookBase, hooks
from detectron2.solver import LRMultiplier
from omegaconf import DictConfig, OmegaConf

from ..exceptions import InputError
from ..losses import ClassificationLoss

logger = logging.getLogger(__name__)

# Keys, and beginnings of keys, that decide nothing of a training, or of which others speak
_NOT_DECISIVE = (
    *("OUTPUT_DIR", "SEED", "VIS_PERIOD", "CUDNN_BENCHMARK", "TEST.", "MODEL.WEIGHTS"),
    *("MODEL.DEVICE", "MODEL.EQL.LOG_PERIOD", "MODEL.EQL.RESET_STATISTICS"),
    *("DATALOADER.NUM_WORKERS", "SOLVER.CHECKPOINT_", "SOLVER.REFERENCE_WORLD_SIZE"),
    *("train.output_dir", "train.seed", "train.init_checkpoint", "train.device", "train.ddp."),
    *("train.eval_period", "train.log_period", "train.checkpointer.", "train.average_norm"),
    *("train.eql.", "dataloader.test.", "dataloader.evaluator.", "dataloader.train.num_workers"),
)
# Arguments of optimizers that decide how a step is computed, not which
_OF_THE_MACHINE = ("foreach", "fused", "capturable", "differentiable")
# Arguments by which kinds of optimizers, of which the state is another, are told apart
_OF_A_KIND = ("momentum", "betas", "alpha", "rho", "lr_decay")
_NAMED, _LONGEST = 12, 60


class SettingsHook(HookBase):
    """Keeps in the checkpoints what decides a training, and compares it when one is resumed.

    What changed takes effect, and is said in one line; of a checkpoint that does not hold it, such
    as Detectron2's, the settings of the optimizer are compared. In all processes.

    Args:
        cfg: as it is trained, of either kind.
        max_iter: of the training.
    """

    def __init__(self, cfg: CfgNode | DictConfig, max_iter: int):
        self._settings = settings_of(cfg)
        self._max_iter = max_iter

    def state_dict(self) -> dict[str, Any]:
        return {
            "settings": self._settings,
            "losses": _losses_of(self.trainer.model),
            "optimizer": _kind_of(self._optimizer),
            "max_iter": self._max_iter,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """It was compared before."""

    @contextlib.contextmanager
    def resuming(self, path: str, state: Mapping[str, Any]) -> Iterator[None]:
        """While this runs the checkpoint is loaded.

        Args:
            path: of the checkpoint.
            state: of its trainer.

        Raises:
            InputError: it is of another loss or another optimizer, or of a later iteration than the
                last.
        """
        found = state.get("hooks", {}).get(type(self).__qualname__, {})
        self._refuse(path, found, state)
        given = [_without_params(group) for group in self._optimizer.param_groups]
        yield
        changed = self._take(given)
        if found:
            changed = _differences(found["settings"], self._settings)
        if changed:
            more = f" and {len(changed) - _NAMED} more" if changed[_NAMED:] else ""
            logger.warning(
                f"The training goes on with other settings than those of {path}: "
                f"{', '.join(changed[:_NAMED])}{more}"
            )

    def _refuse(self, path: str, found: Mapping[str, Any], state: Mapping[str, Any]) -> None:
        # What is saved when a training has ended counts one iteration more.
        iteration = state.get("iteration", -1)
        done = min(iteration + 1, found.get("max_iter", iteration))
        if done > self._max_iter:
            raise InputError(
                f"{path} is of a training after {done} iterations, and MAX_ITER is "
                f"{self._max_iter}: give more iterations, or another OUTPUT_DIR to begin anew"
            )
        own = self.state_dict()
        theirs = {**own, **found}
        problems = [
            f"the loss {theirs['losses'].get(name, 'none')} at {name}, and now it is "
            f"{own['losses'].get(name, 'none')}"
            for name in sorted(own["losses"].keys() | theirs["losses"].keys())
            if own["losses"].get(name) != theirs["losses"].get(name)
        ]
        if own["optimizer"] != theirs["optimizer"]:
            now = own["optimizer"]
            problems.append(f"the optimizer {theirs['optimizer']}, and now it is {now}")
        elif not found and _marks(self._optimizer.state_dict()) != _marks(_state_in(state)):
            problems.append(f"another optimizer than {own['optimizer']}")
        if problems:
            raise InputError(
                f"{path} is of a training with {problems[0]}: what it has collected is of no use "
                "to another; go on with the old one, or begin a new training with these "
                "MODEL.WEIGHTS (train.init_checkpoint) in another OUTPUT_DIR"
            )

    @property
    def _optimizer(self) -> torch.optim.Optimizer:
        return getattr(self.trainer, "_trainer", self.trainer).optimizer

    def _take(self, given: list[dict[str, Any]]) -> list[str]:
        """Let an optimizer that was loaded have the settings given to it; what changed thereby."""
        groups, changed = self._optimizer.param_groups, {}
        for group, new in zip(groups, given):
            old = _without_params(group)
            old.setdefault("initial_lr", old["lr"])
            new = {"initial_lr": new["lr"], **new}
            share = new["initial_lr"] / old["initial_lr"] if old["initial_lr"] else 1.0
            group.update(new, lr=old["lr"] * share)
            del old["lr"], new["lr"]  # of the step
            names = {"initial_lr": "learning rate", "weight_decay": "weight decay"}
            for key in (key for key in new if key not in _OF_THE_MACHINE and key in old):
                if old[key] != new[key]:
                    changed[f"{names.get(key, key)} (was {old[key]}, is {new[key]})"] = None
        for scheduler in (h.scheduler for h in self.trainer._hooks if _is_of_schedule(h)):
            if hasattr(scheduler, "base_lrs"):
                scheduler.base_lrs = [group["initial_lr"] for group in groups]
            if isinstance(scheduler, LRMultiplier):  # whose schedule may be another, too
                for group, rate in zip(groups, scheduler.get_lr()):
                    group["lr"] = rate
        return list(changed)


def settings_of(cfg: CfgNode | DictConfig) -> dict[str, str]:
    """What decides a training: texts of the values by their dotted keys."""
    content = cfg if isinstance(cfg, CfgNode) else OmegaConf.to_container(cfg)
    return {key: text for key, text in _flat(content) if not key.startswith(_NOT_DECISIVE)}


def _flat(content: Mapping, prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in content.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", _text(value)


def _text(value: Any) -> str:
    """The same in each process: without addresses of objects."""
    if callable(value) or type(value).__repr__ is object.__repr__:
        kind = value if hasattr(value, "__qualname__") else type(value)
        return f"{kind.__module__}.{kind.__qualname__}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_text, value))}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {_text(inner)}' for key, inner in value.items())}}}"
    return str(value)


def _differences(was: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    def shown(settings: Mapping[str, str], key: str) -> str:
        text = settings.get(key, "not there")
        return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} …"

    keys = [key for key in dict.fromkeys([*was, *now]) if was.get(key) != now.get(key)]
    return [f"{key} (was {shown(was, key)}, is {shown(now, key)})" for key in keys]


def _losses_of(model: torch.nn.Module) -> dict[str, str]:
    return {
        path.removeprefix("module."): type(module).__name__
        for path, module in model.named_modules()
        if isinstance(module, ClassificationLoss)
    }


def _kind_of(optimizer: torch.optim.Optimizer) -> str:
    """Name of the class that decides the state: what clips derives from it."""
    kinds = [kind for kind in type(optimizer).__mro__ if issubclass(kind, torch.optim.Optimizer)]
    return kinds[-2].__name__  # before the Optimizer itself


def _state_in(state: Mapping[str, Any]) -> Mapping[str, Any]:
    """Of the optimizer, in that of a trainer; that of a yaml config has another inside."""
    return state.get("_trainer", state).get("optimizer", {})


def _marks(state: Mapping[str, Any]) -> set[str]:
    """By which arguments the kind of an optimizer is told."""
    return {key for group in state.get("param_groups", ()) for key in group} & {*_OF_A_KIND}


def _without_params(group: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in group.items() if key != "params"}


def _is_of_schedule(hook: HookBase) -> bool:
    return isinstance(hook, hooks.LRScheduler)

"""Log the accumulated gradient ratio while training."""

import logging
import os
from collections.abc import Sequence

import numpy as np
from detectron2.engine import HookBase
from detectron2.utils.events import get_event_storage
from torch import nn

from ..exceptions import InputError
from ..losses import GradientStatistics

logger = logging.getLogger(__name__)

_GROUPS = {"r": "rare", "c": "common", "f": "frequent"}
# A class with a hundred times more negative than positive gradient is one that starves.
_STARVING = 0.01
# With nearly all ratios at 1 an equalization loss is its baseline.
_MOST_BALANCED = 0.9
_WARMUP_ITERATIONS = 1000


def find_statistics(model: nn.Module) -> dict[str, GradientStatistics]:
    """All gradient statistics of a model by the path of their loss, for example
    ``roi_heads.box_predictor.loss_cls``."""
    return {
        name.removeprefix("module.").removesuffix(".statistics"): module
        for name, module in model.named_modules()
        if isinstance(module, GradientStatistics)
    }


class GradientRatioHook(HookBase):
    """Logs the gradient ratio of the categories every ``period`` iterations and at the end.

    Scalars (``gradient_ratio/...``; with several losses, as in Cascade R-CNN, under the path of
    each): the mean ratio of the rare, common, frequent and of all categories, where a ratio above
    1 counts as 1, so that one category cannot hide the others; ``starving``, the share of
    categories with a ratio below 0.01; ``balanced``, the share with 1 or more.
    ``gradient_ratio.npz`` in ``output_dir`` holds the latest values of each category: arrays
    ``iteration`` and, for each loss, ``<path>/ratio``, ``/pos_grad``, ``/neg_grad`` of shape (C,).

    It warns once when, after the first 1000 iterations, more than 90% of the categories have a
    ratio of 1 or more: then the loss no longer differs from its baseline.

    Without state worth saving: everything is in the model. Use it on the main process only, before
    the writers.

    Args:
        period: iterations between two logs.
        output_dir: folder of the file.
        category_groups: ``"r"``, ``"c"`` or ``"f"`` of each class, see
            :func:`eql_d2.data.frequency_groups`.
    """

    def __init__(self, period: int, output_dir: str, category_groups: Sequence[str]):
        if period < 1:
            raise InputError(f"period of GradientRatioHook is {period}: give 1 or more iterations")
        self._period = period
        self._file = os.path.join(output_dir, "gradient_ratio.npz")
        self._warned = False
        self._members = {
            name: np.flatnonzero(np.asarray(category_groups) == group)
            for group, name in _GROUPS.items()
        }

    def after_step(self) -> None:
        iteration = self.trainer.iter + 1
        if iteration % self._period == 0 or iteration == self.trainer.max_iter:
            self._log(iteration)

    def _log(self, iteration: int) -> None:
        statistics = find_statistics(self.trainer.model)
        record = {"iteration": np.array(iteration)}
        for path, module in statistics.items():
            ratio = module.ratio().cpu().numpy()
            self._put_scalars("" if len(statistics) == 1 else f"{path}/", ratio)
            self._warn_if_balanced(path, ratio, iteration)
            record[f"{path}/ratio"] = ratio
            record[f"{path}/pos_grad"] = module.pos_grad.cpu().numpy()
            record[f"{path}/neg_grad"] = module.neg_grad.cpu().numpy()
        if statistics:
            self._write(record)

    def _put_scalars(self, prefix: str, ratio: np.ndarray) -> None:
        capped = ratio.clip(max=1)
        scalars = {
            name: capped[members].mean() for name, members in self._members.items() if len(members)
        }
        scalars["all"] = capped.mean()
        scalars["starving"] = (ratio < _STARVING).mean()
        scalars["balanced"] = (ratio >= 1).mean()
        storage = get_event_storage()
        for name, value in scalars.items():
            storage.put_scalar(f"{prefix}gradient_ratio/{name}", float(value), smoothing_hint=False)
        values = "  ".join(f"{name}: {value:.3f}" for name, value in scalars.items())
        logger.info(f"{prefix}gradient ratio  {values}")

    def _warn_if_balanced(self, path: str, ratio: np.ndarray, iteration: int) -> None:
        balanced = (ratio >= 1).mean()
        if self._warned or iteration < _WARMUP_ITERATIONS or balanced <= _MOST_BALANCED:
            return
        self._warned = True
        logger.warning(
            f"{path}: {balanced:.0%} of the categories have a gradient ratio of 1 or more, so the "
            "loss is nearly its baseline. If the tail is poor all the same, early positive "
            "gradients may hold the ratio up: try a decay below 1, for example 0.999"
        )

    def _write(self, record: dict[str, np.ndarray]) -> None:
        # Replaced in one step, so that a reader or a crash never meets half a file.
        with open(self._file + ".tmp", "wb") as f:
            np.savez(f, **record)
        os.replace(self._file + ".tmp", self._file)

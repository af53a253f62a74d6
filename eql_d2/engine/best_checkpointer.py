"""Detectron2's ``BestCheckpointer``, which remembers.

Guards against a resumed training that takes its first evaluation for the best and overwrites a
better ``model_best.pth``.
"""

import math
from collections.abc import Mapping
from typing import Any

from detectron2.engine import hooks


class LastingBestCheckpointer(hooks.BestCheckpointer):
    """``BestCheckpointer`` whose best metric is kept in the checkpoints.

    Register it after the trainer is built and before it resumes. Plain Detectron2 ignores what it
    keeps. Arguments are those of Detectron2's.
    """

    def state_dict(self) -> dict[str, Any]:
        best, iteration = self.best_metric, self.best_iter
        # Detectron2 saves the new best model before it notes the metric of it.
        metric, found = self.trainer.storage.latest().get(self._val_metric, (math.nan, None))
        if math.isfinite(metric) and (best is None or self._compare(metric, best)):
            best, iteration = metric, found
        return {} if best is None else {"best_metric": float(best), "best_iter": int(iteration)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.best_metric, self.best_iter = state["best_metric"], state["best_iter"]

"""See the accumulated gradient ratio while training, and the whole training at its end."""

import logging
import os
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from detectron2.engine import HookBase
from detectron2.utils import comm
from detectron2.utils.events import get_event_storage
from torch import nn

from ..data import GROUP_NAMES, WITHOUT_IMAGE
from ..exceptions import InputError
from ..gradient_record import GradientRecord
from ..losses import ClassificationLoss, GradientStatistics

try:
    from ..report.page import write_report
except ImportError as error:  # the extra "report" is missing: said where the page would be written
    _MISSING = str(error)

    def write_report(folders):
        raise ImportError(_MISSING)


logger = logging.getLogger(__name__)

# A class with a hundred times more negative than positive gradient is one that starves.
_STARVING = 0.01
# With nearly all ratios at 1 an equalization loss is its baseline.
_MOST_BALANCED = 0.9
_WARMUP_ITERATIONS = 1000
# One category with an enormous ratio would leave all others in the first bin.
_HISTOGRAM_END = 2.0
_HISTOGRAM_BINS = 50


def find_statistics(model: nn.Module) -> dict[str, GradientStatistics]:
    """All gradient statistics of a model by the path of their loss, for example
    ``roi_heads.box_predictor.loss_cls``."""
    return {
        name.removeprefix("module.").removesuffix(".statistics"): module
        for name, module in model.named_modules()
        if isinstance(module, GradientStatistics)
    }


class GradientRatioHook(HookBase):
    """Shows the gradient ratio of the categories every ``period`` iterations and at the end.

    Scalars; with several losses, as in Cascade R-CNN, under the path of each:

    - ``gradient_ratio/rare``, ``common``, ``frequent``, ``all``: mean ratio, where one above 1
      counts as 1, so that one category cannot hide the others; Open Images has ``group_1_of_5``
      (rarest) to ``group_5_of_5`` instead;
    - ``gradient_ratio/starving``, ``balanced``: share of the categories at 0 (a ratio below 0.01)
      and at the clamp (1 or more); ``gradient_ratio/variation``: standard deviation of the ratio
      over its mean, above 1 counting as 1. Categories without a training image count in none of
      these and not in ``all``: they have ``gradient_ratio/without_an_image``;
    - ``positive_weight/rare`` ..., ``negative_weight/rare`` ...: mean weights of the next step, of
      losses that have them (:meth:`ClassificationLoss.class_weights`).

    For TensorBoard there is a histogram ``gradient_ratio/histogram``, where a ratio above 2 counts
    as 2 (none while all ratios are equal). Each log is also a row of the record of the training in
    ``output_dir``, see :mod:`eql_d2.gradient_record`, with the values of each category.

    It warns once when, after the first 1000 iterations, more than 90% of the categories have a
    ratio of 1 or more: then a loss that weighs by it no longer differs from its baseline.

    Without state worth saving: everything is in the model. On other processes than the main one it
    does nothing. Place it before the writers.

    Args:
        period: iterations between two logs.
        output_dir: folder of the record.
        categories: ``{"name", "group", "image_count", "instance_count"}`` of each class:
            :meth:`eql_d2.data.CategoryTable.rows`.
        module: path of the module whose losses are of these categories, "" for the whole model.
            Others, as of the label maps of panoptic data or of another length, are left out.

    Raises:
        InputError: the period is below 1.
    """

    def __init__(
        self,
        period: int,
        output_dir: str | os.PathLike,
        categories: Sequence[Mapping],
        module: str = "",
    ):
        if period < 1:
            raise InputError(f"period of GradientRatioHook is {period}: give 1 or more iterations")
        self._period = period
        self._output_dir = output_dir
        self._categories = categories
        self._module = module
        groups = np.array([category["group"] for category in categories])
        members = {
            name.replace(" ", "_"): np.flatnonzero(groups == group)
            for group, name in reversed(GROUP_NAMES.items())
        }
        has_image = groups != WITHOUT_IMAGE
        members["all"] = np.flatnonzero(has_image if has_image.any() else ~has_image)
        self._members = {name: indices for name, indices in members.items() if len(indices)}
        self._warned_of = set()

    def before_train(self) -> None:
        self._losses = self._find_losses() if comm.is_main_process() else {}
        if not self._losses:
            return
        start_iter = self.trainer.start_iter
        self._record = GradientRecord(
            self._output_dir,
            {path: loss.statistics.num_classes for path, loss in self._losses.items()},
            self._categories,
            start_iter,
        )
        # A process can be killed between a checkpoint and the row of its iteration.
        if start_iter > 0 and self._is_due(start_iter) and self._record.last_iteration < start_iter:
            self._append(start_iter, self._read_values())

    def after_step(self) -> None:
        iteration = self.trainer.iter + 1
        if self._losses and self._is_due(iteration):
            self._log(iteration)

    def _is_due(self, iteration: int) -> bool:
        return iteration % self._period == 0 or iteration == self.trainer.max_iter

    def _log(self, iteration: int) -> None:
        values = self._read_values()
        for path, rows in values.items():
            prefix = f"{path}/" if len(values) > 1 else ""
            ratio, weights = rows[2], rows[3:]
            self._put_scalars(prefix, ratio, weights)
            self._put_histogram(prefix, ratio)
            if len(weights):
                self._warn_if_balanced(path, ratio, iteration)
        self._append(iteration, values)

    def _find_losses(self) -> dict[str, nn.Module]:
        modules = {
            name.removeprefix("module."): module
            for name, module in self.trainer.model.named_modules()
        }
        losses = {}
        for path, statistics in find_statistics(self.trainer.model).items():
            if self._module and not path.startswith(f"{self._module}."):
                logger.warning(
                    f"{path} has other classes than {self._module}, whose categories are those of "
                    "the training data: its gradient ratio is not logged"
                )
            elif statistics.num_classes == len(self._categories):
                losses[path] = modules[path]
            else:
                logger.warning(
                    f"{path} has {statistics.num_classes} classes, the training data "
                    f"{len(self._categories)} categories: its gradient ratio is not logged"
                )
        return losses

    @torch.no_grad()
    def _read_values(self) -> dict[str, np.ndarray]:
        """Of each loss, one below the other: accumulated gradients, ratio and, where it has them,
        weights; float64 (3 or 5, C)."""
        values = {}
        for path, loss in self._losses.items():
            statistics = loss.statistics
            rows = [statistics.pos_grad, statistics.neg_grad, statistics.ratio()]
            if isinstance(loss, ClassificationLoss):
                rows += [weight.double() for weight in loss.class_weights() or ()]
            values[path] = torch.stack(rows).cpu().numpy()
        return values

    def _put_scalars(self, prefix: str, ratio: np.ndarray, weights: np.ndarray) -> None:
        capped = ratio.clip(max=1)
        scalars = self._means(capped)
        ratio, capped = ratio[self._members["all"]], capped[self._members["all"]]
        scalars["starving"] = (ratio < _STARVING).mean()
        scalars["balanced"] = (ratio >= 1).mean()
        scalars["variation"] = capped.std() / max(capped.mean(), np.finfo(float).tiny)
        scalars = {f"gradient_ratio/{name}": value for name, value in scalars.items()}
        values = "  ".join(f"{name.split('/')[1]}: {value:.3f}" for name, value in scalars.items())
        logger.info(f"{prefix}gradient ratio  {values}")
        for kind, weight in zip(("positive_weight", "negative_weight"), weights):
            scalars |= {f"{kind}/{name}": value for name, value in self._means(weight).items()}
        storage = get_event_storage()
        for name, value in scalars.items():
            storage.put_scalar(f"{prefix}{name}", float(value), smoothing_hint=False)

    def _means(self, values: np.ndarray) -> dict[str, float]:
        return {name: values[indices].mean() for name, indices in self._members.items()}

    def _put_histogram(self, prefix: str, ratio: np.ndarray) -> None:
        ratio = ratio[self._members["all"]]
        shown = ratio[np.isfinite(ratio)].clip(0, _HISTOGRAM_END).astype(np.float32)
        # Detectron2 fails on a histogram of equal values.
        if len(shown) and shown.min() < shown.max():
            get_event_storage().put_histogram(
                f"{prefix}gradient_ratio/histogram", torch.from_numpy(shown), bins=_HISTOGRAM_BINS
            )

    def _warn_if_balanced(self, path: str, ratio: np.ndarray, iteration: int) -> None:
        balanced = (ratio[self._members["all"]] >= 1).mean()
        if iteration < _WARMUP_ITERATIONS or balanced <= _MOST_BALANCED:
            return
        self._warn_once(
            "balanced",
            f"{path}: {balanced:.0%} of the categories have a gradient ratio of 1 or more, so the "
            "loss is nearly its baseline. If the tail is poor all the same, early positive "
            "gradients may hold the ratio up: try a decay below 1, for example 0.999",
        )

    def _append(self, iteration: int, values: Mapping[str, np.ndarray]) -> None:
        try:
            self._record.append(iteration, {path: rows[:3] for path, rows in values.items()})
        except OSError as error:  # a full disk must not end a training for the sake of a figure
            self._warn_once("record", f"no row in the gradient record: {error}")

    def _warn_once(self, topic: str, message: str) -> None:
        if topic not in self._warned_of:
            self._warned_of.add(topic)
            logger.warning(message)


class ReportHook(HookBase):
    """Writes the report page of a training that has finished.

    A training never fails because of its page: what goes wrong becomes one warning. Place it last:
    the page needs the final evaluation and what the writers make of it.

    Args:
        output_dir: folder of the training.
    """

    def __init__(self, output_dir: str | os.PathLike):
        self._output_dir = output_dir

    def after_train(self) -> None:
        if self.trainer.iter < self.trainer.max_iter or not comm.is_main_process():
            return
        try:
            path = write_report([self._output_dir])
        except Exception as error:
            logger.warning(f"No report of this training: {error!r}")
        else:
            logger.info(f"Report of this training: {path}")

"""Several processes that train one model must agree on what they have collected."""

import torch
import torch.distributed as dist
from detectron2.engine import HookBase
from detectron2.utils import comm
from torch import Tensor

from ..exceptions import TrainingError
from ..losses import ClassificationLoss, GradientStatistics

# Sums of the same numbers in the same order are equal; this only forgives mixed machines.
_TOLERANCE = 1e-6


class SameStatisticsHook(HookBase):
    """Ends a training whose processes have come to different statistics.

    Guards against what DistributedDataParallel, which averages gradients alone, does not see:
    statistics are buffers, and with other ones a process trains with another loss. Compared are the
    smallest and the largest value of each number over the processes, every ``period`` iterations
    and at the end.

    In all processes; it does nothing where there is one.

    Args:
        period: iterations between two comparisons.

    Raises:
        TrainingError: in all processes, when they differ by more than 1e-6 of their value.
    """

    def __init__(self, period: int):
        self._period = period

    def before_train(self) -> None:
        self._losses = {
            path.removeprefix("module."): module
            for path, module in self.trainer.model.named_modules()
            if isinstance(module, (ClassificationLoss, GradientStatistics))
        }

    def after_step(self) -> None:
        iteration = self.trainer.iter + 1
        is_due = iteration % self._period == 0 or iteration == self.trainer.max_iter
        if is_due and comm.get_world_size() > 1 and self._losses:
            self._compare(iteration)

    def _compare(self, iteration: int) -> None:
        values = self._values()
        joined = torch.cat([*values.values()])
        extremes = torch.stack([joined, -joined])
        dist.all_reduce(extremes, op=dist.ReduceOp.MAX)
        largest, smallest = extremes[0], -extremes[1]
        if _are_close(smallest, largest).all():
            return
        of_ranks = comm.all_gather({path: value.cpu() for path, value in values.items()})
        path, rank = next(
            (path, rank)
            for rank, others in enumerate(of_ranks)
            for path, value in others.items()
            if not torch.equal(value, of_ranks[0][path])
        )
        raise TrainingError(
            f"iteration {iteration}: the statistics of {path.removesuffix('.statistics')} in "
            f"process {rank} are not those of process 0: each must call the loss once a step; "
            "start again with --resume, which gives all of them the same"
        )

    def _values(self) -> dict[str, Tensor]:
        values = {
            path: [b.double().flatten() for b in loss.buffers(recurse=False)]
            for path, loss in self._losses.items()
        }
        return {path: torch.cat(buffers) for path, buffers in values.items() if buffers}


def _are_close(value: Tensor, other: Tensor) -> Tensor:
    return (value - other).abs() <= _TOLERANCE * other.abs()

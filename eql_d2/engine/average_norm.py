"""One batch norm for all processes, before evaluations: each has statistics of its own."""

from collections.abc import Sequence

import torch
from detectron2.engine import HookBase
from detectron2.utils import comm
from torch import Tensor, nn

from ..distributed import sum_over_ranks


@torch.no_grad()
def average_norms(models: Sequence[nn.Module]) -> None:
    """Average the weights, biases and running statistics of all batch norms over the processes.

    One all-reduce in float64 for all of them; each keeps its dtype, and equal ones stay what they
    are. The numbers of batches, which are whole, stay too. Collective; in one process it does
    nothing.

    Args:
        models: the same in each process.
    """
    if comm.get_world_size() == 1:
        return
    tensors = [tensor for model in models for tensor in _of_norms(model)]
    if not tensors:
        return
    joined = sum_over_ranks(torch.cat([tensor.flatten().double() for tensor in tensors]))
    means = joined.div_(comm.get_world_size()).split([tensor.numel() for tensor in tensors])
    for tensor, mean in zip(tensors, means):
        tensor.copy_(mean.view_as(tensor))


def _of_norms(model: nn.Module) -> list[Tensor]:
    return [
        tensor
        for module in model.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm)
        for tensor in module.state_dict().values()
        if tensor.is_floating_point()
    ]


class AverageNormHook(HookBase):
    """Averages the batch norms over the processes before each evaluation (``TEST.AVERAGE_NORM``).

    Official for YOLOX. Batch norm that is not synchronised goes by the images of its own process,
    and so do its running statistics: each process would evaluate another model than is saved. The
    training goes on with the average, of which the steps in training mode take no notice.

    Deviation: it averages before each periodic checkpoint, too. The file holds the statistics of
    one process, and a training that is resumed from it begins with them in all. (One that was
    stopped by a signal in between resumes with those of process 0.)

    In all processes; place it after what averages the model over the steps and before what saves or
    evaluates.

    Args:
        periods: iterations between two evaluations and between two checkpoints; 0: only at the end.
        models: the model, and its average where there is one.
    """

    def __init__(self, periods: Sequence[int], models: Sequence[nn.Module]):
        self._periods = periods
        self._models = models

    def after_step(self) -> None:
        iteration = self.trainer.iter + 1
        is_due = any(period > 0 and iteration % period == 0 for period in self._periods)
        if is_due or iteration >= self.trainer.max_iter:
            average_norms(self._models)

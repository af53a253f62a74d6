"""The average of the weights over the steps of a training, which is what it evaluates."""

import logging
import math
from collections import defaultdict

import torch
from detectron2.engine import HookBase
from torch import nn
from torch.optim.swa_utils import AveragedModel

logger = logging.getLogger(__name__)


class ModelEMA(AveragedModel):
    r"""Exponential moving average of all that a model saves, with a warm-up.

    At update :math:`k = 1, 2, \dots` each floating-point entry of the state, that is parameters,
    statistics of batch norm and gradient statistics of the losses, becomes

    .. math::
        \bar w \leftarrow d_k \bar w + (1 - d_k) w, \qquad d_k = d \, (1 - e^{-k / \tau})

    in its own dtype; entries of whole numbers are taken over. PyTorch's own update copies the model
    at the first step, pairs buffers by their order and makes the host wait for the device; this one
    does none of it, and is a few kernels.

    The copy is in evaluation mode and without gradients. Each process has its own.

    Args:
        model: to copy, with or without DistributedDataParallel, its losses prepared.
        decay: d; official for YOLOX 0.9998.
        warmup: tau, in updates; official 2000. 0: the decay is d from the first update on.

    Attributes:
        module: the averaged model.
        n_averaged: updates so far, int64 on the CPU.
    """

    def __init__(self, model: nn.Module, decay: float, warmup: float):
        super().__init__(_without_ddp(model), use_buffers=True)
        self.module.eval().requires_grad_(False)
        self._decay, self._warmup = decay, warmup

    @torch.no_grad()
    def update_parameters(self, model: nn.Module) -> None:
        """Move the average towards the model, by one update."""
        self.n_averaged += 1
        progress = self.n_averaged.item() / self._warmup if self._warmup else math.inf
        decay = self._decay * (1 - math.exp(-progress))
        # Without a detached tensor for each entry, which would take ten times as long.
        state = _without_ddp(model).state_dict(keep_vars=True)
        by_dtype = defaultdict(lambda: ([], []))
        for name, average in self.module.state_dict(keep_vars=True).items():
            averages, values = by_dtype[average.dtype]
            averages.append(average)
            values.append(state[name])
        for dtype, (averages, values) in by_dtype.items():
            if dtype.is_floating_point:
                torch._foreach_lerp_(averages, values, 1 - decay)
            else:
                torch._foreach_copy_(averages, values)

    def start_from(self, model: nn.Module) -> None:
        """Take over all that the model saves."""
        self.module.load_state_dict(_without_ddp(model).state_dict())


class EMAHook(HookBase):
    """Updates the average after each step, one that a GradScaler leaves out included.

    An average that has seen no update starts from the weights that the training starts from; a
    warning tells where the training was resumed from a checkpoint without one.

    In all processes; place it before what saves or evaluates.

    Args:
        average: of the model of the trainer.
    """

    def __init__(self, average: ModelEMA):
        self._average = average

    def before_train(self) -> None:
        if self._average.n_averaged > 0:  # resumed
            return
        if self.trainer.start_iter > 0:
            logger.warning(
                "The checkpoint holds no averaged model (EMA), as one of a training without it: "
                "the average starts from its weights"
            )
        self._average.start_from(self.trainer.model)

    def after_step(self) -> None:
        self._average.update_parameters(self.trainer.model)


def build_ema(model: nn.Module, decay: float = 0.0, warmup: float = 2000) -> ModelEMA | None:
    """The average that ``MODEL.EMA`` (LazyConfig: ``train.model_ema``) asks for; None where the
    decay is 0."""
    return ModelEMA(model, decay, warmup) if decay else None


def evaluated_model(model: nn.Module, average: ModelEMA | None) -> nn.Module:
    """The averaged model, or the model itself where there is no average."""
    return model if average is None else average.module


def _without_ddp(model: nn.Module) -> nn.Module:
    return getattr(model, "module", model)

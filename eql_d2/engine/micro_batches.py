"""Trainers that cut a batch into micro-batches: gradient accumulation."""

import contextlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from detectron2.engine import AMPTrainer, SimpleTrainer
from torch import Tensor

from ..exceptions import InputError
from ..losses import step_of


class MicroBatchTrainer(SimpleTrainer):
    """``SimpleTrainer`` for batches that are larger than the memory.

    Micro-batches go through the model one after the other; the optimizer has the gradient of the
    mean of their losses, the losses of the project count them as one step (:func:`step_of`), and
    what is logged is the mean. Batch, schedule and order of the data stay as they are. What a model
    makes of a batch as a whole is made of each micro-batch: batch norm, mixup, and normalisers.

    Args:
        *args, **kwargs: of ``SimpleTrainer``.
        micro_batches: their number; 1 is ``SimpleTrainer``.
    """

    def __init__(self, *args, micro_batches: int = 1, **kwargs):
        super().__init__(*args, **kwargs)
        self._micro_batches = micro_batches

    def run_step(self) -> None:
        if self._micro_batches == 1:
            super().run_step()
            return
        start = time.perf_counter()
        batch = next(self._data_loader_iter)
        data_time = time.perf_counter() - start
        self.optimizer.zero_grad()
        losses = self._accumulate(_cut(batch, self._micro_batches))
        self.after_backward()
        self._write_metrics(losses, data_time)
        self._update()

    def _accumulate(self, parts: Sequence[Sequence]) -> dict[str, Tensor]:
        """Add up the gradient of the mean loss; returns the mean of each loss."""
        means = {}
        with step_of(self.model, parts=len(parts)):
            for part in parts:
                with contextlib.nullcontext() if part is parts[-1] else self._unsynchronized():
                    losses = self._forward(part)
                    if isinstance(losses, Tensor):
                        losses = {"total_loss": losses}
                    self._backward(sum(losses.values()) / len(parts))
                for name, loss in losses.items():
                    means[name] = means.get(name, 0) + loss.detach() / len(parts)
        return means

    def _unsynchronized(self) -> contextlib.AbstractContextManager:
        """Of a distributed model the gradient is sent once, with the last micro-batch."""
        return getattr(self.model, "no_sync", contextlib.nullcontext)()

    def _forward(self, part: Sequence) -> Mapping[str, Tensor] | Tensor:
        return self.model(part)

    def _backward(self, loss: Tensor) -> None:
        loss.backward()

    def _update(self) -> None:
        self.optimizer.step()


class MicroBatchAMPTrainer(MicroBatchTrainer, AMPTrainer):
    """The same for mixed precision."""

    def _forward(self, part: Sequence) -> Mapping[str, Tensor] | Tensor:
        with torch.cuda.amp.autocast(dtype=self.precision):  # as Detectron2
            return super()._forward(part)

    def _backward(self, loss: Tensor) -> None:
        self.grad_scaler.scale(loss).backward()

    def _update(self) -> None:
        self.grad_scaler.step(self.optimizer)
        self.grad_scaler.update()


def _cut(batch: Any, number: int) -> list[Sequence]:
    if not isinstance(batch, Sequence) or len(batch) % number:
        size = len(batch) if isinstance(batch, Sequence) else type(batch).__name__
        raise InputError(
            f"a batch of {size} cannot be cut into {number} micro-batches: they take a list of a "
            "multiple of so many images"
        )
    size = len(batch) // number
    return [batch[start : start + size] for start in range(0, len(batch), size)]

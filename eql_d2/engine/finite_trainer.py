"""Trainers in which a step with numbers that are not finite leaves no trace and ends the training.

Detectron2's looks at the losses alone, of the mean over the processes, after the gradient has been
logged; at the gradient it never looks, and a NaN there is in the next checkpoint.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from detectron2.utils import comm
from detectron2.utils.events import get_event_storage
from torch import Tensor, nn

from ..checkpoint import EQLCheckpointer
from ..distributed import sum_over_ranks
from ..exceptions import InputError, TrainingError
from ..losses import ClassificationLoss, GradientStatistics
from .micro_batches import MicroBatchAMPTrainer, MicroBatchTrainer

# What collects in the forward pass, before anybody knows whether the step will count
_COLLECTING = (ClassificationLoss, GradientStatistics, nn.modules.batchnorm._BatchNorm)
# A GradScaler that gets here has halved its scale 30 times in a row; the limit is that of fairseq.
_SMALLEST_SCALE = 1e-4
# Image files that a message names
_NAMED = 16


class NotFiniteError(TrainingError):
    """A loss or the gradient of a step is not finite."""


class FiniteTrainer(MicroBatchTrainer):
    """``MicroBatchTrainer`` whose steps count as a whole or not at all.

    After the backward pass, before the optimizer's step, it looks at each loss and at the norm of
    the gradient. If one is not finite in any of the processes, all of them raise the same error.
    A step in which the optimizer did not move the weights, for this or any other reason, takes back
    what its forward pass collected: gradient statistics, class counts and the running statistics of
    batch norm.

    The host waits for the device once a step, for one number, where Detectron2 waits for the losses
    right after (with its ``gather_metric_period`` of 1). Several processes add it up: one more
    collective a step. Then it logs what the model left in its attribute ``scalars``, if it has one:
    scalar tensors by name, for which a forward pass would have to wait.

    Raises:
        NotFiniteError: in :meth:`run_step`; see above. It names the iteration, the loss or a
            parameter, the process, and the image files of its batch.
    """

    def __init__(self, model: nn.Module, *args, **kwargs):
        super().__init__(model, *args, **kwargs)
        self._collecting = [m for m in model.modules() if isinstance(m, _COLLECTING)]

    def run_step(self) -> None:
        collected = [b for m in self._collecting for b in m.buffers(recurse=False)]
        before = [buffer.clone() for buffer in collected]
        self._step = step = _Step()
        handles = [
            self.model.register_forward_pre_hook(step.note_batch),
            self.model.register_forward_hook(step.note_losses),
            self.optimizer.register_step_post_hook(step.note_update),
        ]
        try:
            super().run_step()
        except FloatingPointError as error:  # of Detectron2's region proposals, in one process
            problem = str(error).rstrip(".")
            raise self._error(problem, [comm.get_rank()], step.image_files()) from error
        finally:
            del self._step  # with the batch
            for handle in handles:
                handle.remove()
            for buffer, old in zip(collected, before):
                step.take_back(buffer, old)

    def after_backward(self) -> None:
        super().after_backward()
        # Added up on the device: a process alone must not raise, the others would wait for it.
        is_bad = ~torch.stack(self._watched()).isfinite().all()
        if sum_over_ranks(is_bad.float()).item():
            self._raise_if_not_finite()
        model = getattr(self.model, "module", self.model)  # without DistributedDataParallel
        for name, value in getattr(model, "scalars", {}).items():
            get_event_storage().put_scalar(name, value.item())

    def _watched(self) -> list[Tensor]:
        """Scalars that are not finite if a loss or the gradient is not."""
        parameters = (p for group in self.optimizer.param_groups for p in group["params"])
        gradients = [p.grad for p in parameters if p.grad is not None]
        # Of all of them by few launches of a kernel.
        return [*self._step.losses.values(), *torch._foreach_norm(gradients)]

    def _gradient_problem(self) -> str:
        """What is wrong with the gradient, the same in all processes; "" if it is finite."""
        bad = [
            name.removeprefix("module.")
            for name, parameter in self.model.named_parameters()
            if parameter.grad is not None and not parameter.grad.isfinite().all()
        ]
        more = f" and of {len(bad) - 1} parameters more" if bad[1:] else ""
        return f"the gradient of {bad[0]}{more} is not finite" if bad else ""

    def _raise_if_not_finite(self) -> None:
        """Collective."""
        losses = ", ".join(
            f"{name} is {value.item()}"
            for name, value in self._step.losses.items()
            if not value.isfinite()
        )
        found = comm.all_gather((losses, self._step.image_files()))
        culprits = [rank for rank, (losses, _) in enumerate(found) if losses]
        problem = found[culprits[0]][0] if culprits else self._gradient_problem()
        if not problem:
            return  # only the norm overflowed
        # The gradient is the mean over all of them.
        files = [file for rank in culprits or range(len(found)) for file in found[rank][1]]
        raise self._error(problem, culprits, files)

    def _error(self, problem: str, ranks: Sequence[int], files: Sequence[str]) -> NotFiniteError:
        some = 0 < len(ranks) < comm.get_world_size()
        where = f", process {', '.join(map(str, ranks))}" if some else ""
        return NotFiniteError(f"iteration {self.iter}{where}: {problem}{_in_words(files)}")


class FiniteAMPTrainer(FiniteTrainer, MicroBatchAMPTrainer):
    """The same for mixed precision, where a gradient that is not finite is normal.

    The GradScaler then leaves the optimizer's step out and halves its scale: as said above, such a
    step does not count for the statistics either, as if its batch had not been seen. It does count
    as an iteration. A loss that is not finite ends the training, and so does a gradient that is not
    finite at any scale down to 1e-4.
    """

    def load_state_dict(self, state: dict[str, Any]) -> None:
        # Of a training without mixed precision there is none.
        super().load_state_dict({"grad_scaler": self.grad_scaler.state_dict(), **state})

    def _watched(self) -> list[Tensor]:
        losses = [*self._step.losses.values()]
        is_scaled = self.grad_scaler.get_scale() >= _SMALLEST_SCALE
        return losses if is_scaled else [*losses, torch.full_like(losses[0], float("nan"))]

    def _gradient_problem(self) -> str:
        scale = self.grad_scaler.get_scale()
        return f"the gradient is not finite at any scale of the GradScaler down to {scale:.1e}"


class _Step:
    """What is known of the step at hand."""

    has_moved_weights = False
    overflow: Tensor | None = None  # above 0: a fused optimizer has left the weights as they were

    def __init__(self):
        self.losses = {}  # added up over micro-batches
        self._batches = []

    def note_batch(self, model: nn.Module, arguments: tuple) -> None:
        self._batches.append(arguments[0])

    def note_losses(self, model: nn.Module, arguments: tuple, losses: Any) -> None:
        losses = dict(losses) if isinstance(losses, Mapping) else {"total_loss": losses}
        for name, loss in losses.items():
            loss = loss.detach().reshape(())
            self.losses[name] = self.losses[name] + loss if name in self.losses else loss

    def note_update(self, optimizer: torch.optim.Optimizer, *_) -> None:
        self.has_moved_weights = True
        # A GradScaler calls a fused one in any case, and gives it this.
        self.overflow = getattr(optimizer, "found_inf", None)

    def take_back(self, buffer: Tensor, old: Tensor) -> None:
        """Give a buffer its old values, if the weights were not moved. The host does not wait."""
        if not self.has_moved_weights:
            buffer.copy_(old)
        elif self.overflow is not None:
            buffer.copy_(torch.where(self.overflow.to(buffer.device) > 0, old, buffer))

    def image_files(self) -> list[str]:
        """Of a batch in the format of Detectron2; of others none."""
        batches = [batch for batch in self._batches if isinstance(batch, Sequence)]
        samples = [sample for batch in batches for sample in batch if isinstance(sample, Mapping)]
        files = (sample.get("file_name") for sample in samples)
        return [str(file) for file in files if file is not None]


def _in_words(files: Sequence[str]) -> str:
    more = f" and {len(files) - _NAMED} more" if files[_NAMED:] else ""
    return f" (images {', '.join(files[:_NAMED])}{more})" if files else ""


@contextlib.contextmanager
def naming_newest_checkpoint(checkpointer: EQLCheckpointer) -> Iterator[None]:
    """Let a :class:`NotFiniteError` say from where the training can go on."""
    try:
        yield
    except NotFiniteError as error:
        newest = ""
        with contextlib.suppress(InputError):  # none is whole
            newest = checkpointer.newest()
        raise NotFiniteError(
            f"{error}; the step was not taken: start again with --resume from "
            f"{newest or 'the beginning'}, with a lower learning rate or clipped gradients, or "
            "without an image that is to blame"
        ) from error

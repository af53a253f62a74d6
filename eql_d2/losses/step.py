"""The step of a loss: a call alone, or all calls that somebody has put together."""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from ..distributed import sum_over_ranks
from ..exceptions import InputError
from .arguments import is_number
from .exact_buffers import ExactBuffers


class SteppedLoss(ExactBuffers):
    """A loss that counts, and whose weights follow from the steps that were counted.

    A call alone is a step. Calls inside ``with loss.step():`` are one together: all of them have
    the weights of the steps before, and what they collect is added when it ends. A subclass says
    what it collects (``_new_sums``) and adds it (``_add_step``).
    """

    def __init__(self):
        super().__init__()
        self._sums: dict[str, Tensor] | None = None  # of the step at hand, if one is open
        self._parts = 1
        self._counts = True
        self._unfinished = 0  # calls of the step at hand, or the last, without gradients

    @contextlib.contextmanager
    def step(self, parts: int = 1) -> Iterator[None]:
        """Make one step of all calls inside the ``with``.

        With several processes a collective, one a step, whoever calls the loss how often: each
        process must open it, also one that has nothing to call the loss with. A step in a longer
        one belongs to that. One that an exception ends is not counted.

        Args:
            parts: micro-batches whose losses are averaged: each is divided by their number before
                its backward pass, and so are the gradients that the statistics count. A loss that
                is given the normaliser of the whole batch needs no division: leave it at 1.

        Raises:
            InputError: parts is no whole number above 0.
        """
        if not is_number(parts) or parts < 1 or parts != int(parts):
            raise InputError(
                f"parts of a step is {parts}: give the number of micro-batches, 1 or more"
            )
        with self._with(_parts=self._parts * parts):
            if self._sums is not None:
                yield
                return
            self._unfinished = 0
            with self._with(_sums=self._new_sums()):
                yield
                sums = self._sums
        if sums and self._is_counted():
            joined = sum_over_ranks(torch.cat([*sums.values()]))
            self._add_step(dict(zip(sums, joined.split([len(rows) for rows in sums.values()]))))

    @contextlib.contextmanager
    def uncounted(self) -> Iterator[None]:
        """Leave the calls inside the ``with`` out of the count: their weights are those of the
        others, and nothing is collected, nor sent. In each process, or in none."""
        with self._with(_counts=False):
            yield

    @contextlib.contextmanager
    def _with(self, **values: object) -> Iterator[None]:
        before = {name: getattr(self, name) for name in values}
        self.__dict__.update(values)
        try:
            yield
        finally:
            self.__dict__.update(before)

    def _apply(self, fn, *args, **kwargs):
        try:
            fn(torch.zeros((), dtype=torch.float64))
        except TypeError as error:
            raise InputError(
                f"{type(self).__name__} cannot be moved: losses and gradients are added up in "
                f"float64, which the device does not have ({error}): set MODEL.DEVICE to cuda or "
                "cpu"
            ) from error
        return super()._apply(fn, *args, **kwargs)

    def _new_sums(self) -> dict[str, Tensor]:
        """What a step collects: zeros (n, C) in float64, by name."""
        return {}

    def _add_step(self, sums: dict[str, Tensor]) -> None:
        """Add what a step has collected in all processes."""

    def _is_counted(self) -> bool:
        """Whether a call counts now."""
        return self._counts and self.training and torch.is_grad_enabled()

    def _refuse_recomputation(self) -> None:
        """Refuse activation checkpointing that would count a step twice, or not at all.

        A forward within a backward pass is a recomputation. That of the reentrant kind is the first
        one with gradients, and counts; its step must not have ended. The other kind has counted
        already, without a step around it has moved the weights, and it may stop early.
        """
        if not self.training:
            return
        if not torch.is_grad_enabled():
            self._unfinished += self._sums is not None
            return
        node = torch._C._current_autograd_node()
        if node is None:
            return
        if node.name() != "CheckpointFunctionBackward":
            raise InputError(
                f"{type(self).__name__} is recomputed by activation checkpointing, which would "
                "count a step twice and change its weights between the passes: leave the "
                "loss out of the checkpointed part, or give use_reentrant=True"
            )
        if self._sums is not None:
            self._unfinished -= 1
        elif self._unfinished:
            raise InputError(
                f"{type(self).__name__} is recomputed by activation checkpointing after its step "
                "has ended: call backward inside the with, or put all of it, with step() itself, "
                "into the checkpointed part"
            )


@contextlib.contextmanager
def step_of(model: nn.Module, parts: int = 1) -> Iterator[None]:
    """Make one step of all calls of the losses of a model, for gradient accumulation::

        with step_of(model, parts=len(micro_batches)):
            for batch in micro_batches:
                (sum(model(batch).values()) / len(micro_batches)).backward()
        optimizer.step()

    See :meth:`SteppedLoss.step`; with several processes a collective for each loss.
    """
    with contextlib.ExitStack() as stack:
        for module in model.modules():
            if isinstance(module, SteppedLoss):
                stack.enter_context(module.step(parts))
        yield

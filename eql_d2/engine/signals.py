"""End a training by a signal, with a checkpoint and without a traceback.

Guards against work that is lost when a machine is taken away: SIGTERM (a cluster, ``kill``), SIGINT
(Ctrl-C) and SIGUSR1 (SLURM's ``--signal=USR1@120``) let the step finish, save a checkpoint and exit
with 75 (EX_TEMPFAIL of ``<sysexits.h>``): start again with ``--resume``. Before the first step and
in evaluations, which may be long, they end the program at once; what was trained is saved all the
same. A second SIGINT ends it at once anyhow.

Several processes stop after the same step, whichever got the signal: each votes at the end of each
step, by one number over a group on the CPU, and looks at the result at the end of the next. So none
waits for a GPU or for another process, for a stop that comes one step later. Outside of steps a
process tells those beside it on its machine. A process whose launcher has died stops, too, a second
later; one that cannot, because others are gone, is ended after two minutes.

``torchrun`` itself exits with 1 whatever its processes exit with. With SLURM, a batch script may
end with ``[ $? -eq 75 ] && scontrol requeue $SLURM_JOB_ID``.
"""

import contextlib
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

import torch
from detectron2.engine import HookBase
from detectron2.utils import comm

from ..checkpoint import EQLCheckpointer
from ..distributed import max_over_ranks_later
from .shielded_workers import shield_workers

logger = logging.getLogger(__name__)

EXIT_CODE = 75
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
_SECONDS_TO_CATCH = 0.5
_PARENT_PERIOD = 1.0
# For the step and the checkpoint of a process without a launcher; it may hang, others being gone.
_SECONDS_WITHOUT_PARENT = 120.0


class Stopped(SystemExit):
    """A signal ended the program, with exit code 75.

    Args:
        message: one line for the log.
    """

    def __init__(self, message: str):
        super().__init__(EXIT_CODE)
        self.message = message


class StopSignals:
    """The signals that this process received. There is one, :data:`stop_signals`.

    Attributes:
        received: name of the first, or None.
        is_handled: whether signals are received at all.
    """

    def __init__(self):
        self.received: str | None = None
        self.is_handled = False
        self._owner = 0
        self._waits = self._caught = False
        self._neighbours: list[int] = []

    @contextlib.contextmanager
    def handled(self) -> Iterator[None]:
        """Handle the signals. One that is ignored, as ``nohup`` does, stays so."""
        self.__init__()
        self.is_handled, self._owner = True, os.getpid()
        previous = {number: signal.getsignal(number) for number in SIGNALS}
        for number, handler in previous.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, self._handle)
        hook, sys.unraisablehook = sys.unraisablehook, _quiet(sys.unraisablehook)
        try:
            yield
        except Stopped:
            self._caught = True
            raise
        finally:
            self._waits = True  # what follows is the end
            sys.unraisablehook = hook
            if self.received is None:
                for number, handler in previous.items():
                    signal.signal(number, handler)

    @property
    def message(self) -> str:
        return (
            f"Stopped by {self.received} outside of the steps of a training: what was trained is "
            "saved, start again with --resume"
        )

    def meet_neighbours(self) -> None:
        """Let the processes on one machine know of each other. Collective."""
        processes = comm.all_gather((socket.gethostname(), os.getpid()))
        own = processes[comm.get_rank()]
        self._neighbours = [p[1] for p in processes if p[0] == own[0] and p != own]

    def wait_for_step(self) -> None:
        """From now on a signal is only noted."""
        self._waits = True

    @contextlib.contextmanager
    def interruptible(self) -> Iterator[None]:
        """For what may take long and can be lost. One noted before ends it before it begins."""
        waits, self._waits = self._waits, False
        try:
            if self.received:
                raise Stopped(self.message)
            yield
        except Stopped:
            self._caught = True
            raise
        finally:
            self._waits = waits

    def note(self, name: str) -> None:
        """Note a signal that another process received."""
        self.received = self.received or name

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._owner:
            return  # a worker of a data loader, which ends with the training
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        if self.received is None:
            self.received = signal.Signals(number).name
            for pid in self._neighbours:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGTERM)
        if not self._waits and not self._caught:
            # What is raised in a callback of Python's own, at a fork for example, is lost.
            again = threading.Timer(_SECONDS_TO_CATCH, self._signal_again)
            again.daemon = True
            again.start()
            raise Stopped(self.message)

    def _signal_again(self) -> None:
        if not self._caught:
            os.kill(self._owner, signal.SIGTERM)


def _quiet(hook: Callable) -> Callable:
    """Without a traceback of what is lost and will be raised again."""

    def quiet(unraisable) -> None:
        if not isinstance(unraisable.exc_value, Stopped):
            hook(unraisable)

    return quiet


stop_signals = StopSignals()


class StopHook(HookBase):
    """Ends a training after the step in which a signal came, with a checkpoint of that step.

    It also saves the last step that was finished where something after it, such as an evaluation,
    ends the training. In all processes; place it after the other checkpointer and before the
    evaluation.

    Args:
        checkpointer: of the training.
    """

    def __init__(self, checkpointer: EQLCheckpointer):
        self._checkpointer = checkpointer
        self._finished: int | None = None  # iteration that is finished and not saved yet
        self._vote = self._voting = None

    def before_train(self) -> None:
        trainer = getattr(self.trainer, "_trainer", self.trainer)
        if stop_signals.is_handled:
            shield_workers(trainer.data_loader)

    def before_step(self) -> None:
        stop_signals.wait_for_step()
        self._finished = None

    def after_step(self) -> None:
        iteration = self.trainer.iter
        is_last = iteration + 1 >= self.trainer.max_iter
        if self._is_agreed(is_last) and not is_last:
            self._save(iteration)
            _wait_for_others()
            raise Stopped(
                f"Stopped by {stop_signals.received} after iteration {iteration + 1} of "
                f"{self.trainer.max_iter}, which is saved: start again with --resume"
            )
        self._finished = iteration

    def after_train(self) -> None:
        if self._finished is not None:
            self._save(self._finished)

    def _save(self, iteration: int) -> None:
        self._finished = None
        if self._checkpointer.saved_iteration != iteration:
            self._checkpointer.save(f"model_{iteration:07d}", iteration=iteration)

    def _is_agreed(self, is_last: bool) -> bool:
        """Whether a process had the signal, in all processes alike."""
        if comm.get_world_size() == 1:
            return stop_signals.received is not None
        if self._voting is not None:
            self._voting.wait()
            if self._vote.item():  # on the CPU
                stop_signals.note("a signal to another process")
                return True
        if not is_last:
            self._vote = torch.tensor([int(stop_signals.received is not None)])
            self._voting = max_over_ranks_later(self._vote)
        return False


def _wait_for_others() -> None:
    """A launcher ends all processes when one has ended: the main one must have saved by then."""
    if comm.get_world_size() > 1:
        max_over_ranks_later(torch.zeros(1)).wait()


def end_without(is_alive: Callable[[], bool]) -> None:
    """Stop this process when its launcher has died, however that happened.

    Args:
        is_alive: whether the launcher still lives.
    """

    def watch() -> None:
        while is_alive():
            time.sleep(_PARENT_PERIOD)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_SECONDS_WITHOUT_PARENT)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()

"""Start training: one process, several by ``--num-gpus``, or what ``torchrun`` started."""

import argparse
import contextlib
import functools
import logging
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from multiprocessing.queues import SimpleQueue

import torch
import torch.distributed as dist
from detectron2.engine import launch as d2_launch
from detectron2.utils import comm
from torch.multiprocessing import ProcessExitedException
from torch.multiprocessing.spawn import ProcessException

from ..distributed import end_process_group
from .config.environment import check_processes
from .signals import EXIT_CODE, SIGNALS, Stopped, end_without, stop_signals

logger = logging.getLogger(__name__)


def launch(main: Callable, args: argparse.Namespace, look: Callable | None = None) -> None:
    """Call ``main(args)`` in each process, and let signals end it well (see :mod:`.signals`).

    Under ``torchrun`` its processes are used; otherwise Detectron2's ``launch`` starts
    ``--num-gpus`` of them on each of ``--num-machines``. Without a GPU they talk through gloo.

    Args:
        main: what each process calls.
        args: of :func:`eql_d2.engine.get_parser`.
        look: called with the arguments before several processes are started, which takes long: it
            exits if they would. None: nothing is.
    """
    if "LOCAL_WORLD_SIZE" not in os.environ:
        problems = list(check_processes(args))
        if problems:
            sys.exit("\n".join(f"{args.prog}: error: {line}" for line in problems))
        has_others = args.num_gpus * args.num_machines > 1
        if has_others and look is not None:
            look(args)
        last_words = multiprocessing.get_context("spawn").SimpleQueue() if has_others else None
        run_all = functools.partial(
            d2_launch,
            functools.partial(_run, main, last_words),
            args.num_gpus,
            num_machines=args.num_machines,
            machine_rank=args.machine_rank,
            dist_url=args.dist_url,
            args=(args,),
        )
        _exit_as_processes(run_all, last_words) if has_others else run_all()
        return
    has_gpu = torch.cuda.is_available()
    if has_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if has_gpu else "gloo")
    comm.create_local_process_group(int(os.environ["LOCAL_WORLD_SIZE"]))
    _run(main, None, args)


def _run(main: Callable, last_words: SimpleQueue | None, args: argparse.Namespace) -> None:
    """``main(args)``, then the end of the process group: after an error the other processes may be
    inside a collective, and to end the group would wait for them.

    Args:
        main: what to call.
        last_words: takes the message with which ``main`` exits, where the launcher is to print it.
        args: for ``main``.
    """
    has_others = comm.get_world_size() > 1
    try:
        with stop_signals.handled():
            if has_others:
                launcher, parent = multiprocessing.parent_process(), os.getppid()
                # Under torchrun there is no launcher of multiprocessing's.
                end_without(launcher.is_alive if launcher else lambda: os.getppid() == parent)
                stop_signals.meet_neighbours()
            main(args)
    except Stopped as stopped:
        _end(stopped.message)
    except SystemExit as error:
        if last_words is None or not isinstance(error.code, str):
            raise
        last_words.put(error.code)
        sys.exit(1)
    except Exception:
        # Another process, which has ended by the signal, is missed.
        if stop_signals.received is None or not has_others:
            raise
        _end(stop_signals.message)
    else:
        end_process_group()


def _end(message: str) -> None:
    """Exit at once with the code of a signal.

    All is saved, and an orderly exit would take seconds that a cluster may not grant; with several
    processes it may also abort, by the threads of a process group that others have left.
    """
    if comm.is_main_process():
        logger.warning(message)
    for worker in multiprocessing.active_children():
        worker.kill()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(EXIT_CODE)


def _exit_as_processes(run_all: Callable[[], None], last_words: SimpleQueue) -> None:
    """Pass signals on to the processes, and exit as the one that failed first: with its code, and
    with its message, which is then the last line, after all that the others say of their end."""
    with _passed_on() as received:
        try:
            run_all()
        except ProcessException as error:
            is_exit = isinstance(error, ProcessExitedException)
            if received or (is_exit and error.exit_code == EXIT_CODE):
                sys.exit(EXIT_CODE)
            if not last_words.empty():
                sys.exit(last_words.get())
            if not is_exit:  # a defect, with its traceback
                raise
            if error.exit_code > 0:
                sys.exit(error.exit_code)
            sys.exit(f"error: {error}")


@contextlib.contextmanager
def _passed_on() -> Iterator[list[int]]:
    """While this runs, each signal is passed on to all processes, as SIGTERM: a terminal has sent
    them its SIGINT already."""
    received = []

    def pass_on(number, frame) -> None:
        received.append(number)
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        for process in multiprocessing.active_children():
            process.terminate()

    previous = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in previous.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, pass_on)
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)

"""Peak memory of a function, measured by the operating system (Linux) in a process of its own."""

import multiprocessing as mp
from collections.abc import Callable
from pathlib import Path

import torch


def _status(field: str) -> int:
    """A field of /proc/self/status in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(field))


def _run(prepare: Callable, arguments: tuple, num_threads: int, queue) -> None:
    torch.set_num_threads(num_threads)
    function = prepare(*arguments)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
    before = _status("VmRSS")
    function()
    queue.put(_status("VmHWM") - before)


def peak_memory(prepare: Callable, *arguments) -> int:
    """Bytes by which ``prepare(*arguments)()`` raises the resident memory at its peak.

    Args:
        prepare: makes the inputs and returns the function to measure; importable by name.
    """
    context = mp.get_context("spawn")
    queue = context.Queue()
    arguments = (prepare, arguments, torch.get_num_threads(), queue)
    process = context.Process(target=_run, args=arguments)
    process.start()
    size = queue.get()
    process.join()
    return size

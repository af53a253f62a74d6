"""Keep signals to a whole job or terminal from the workers of a data loader.

Guards against a step that cannot finish: a cluster sends SIGTERM, and a terminal SIGINT, to all
processes at once, a worker would end, and PyTorch raises an error in the middle of the step.
"""

import functools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable

from torch.utils.data import DataLoader


def shield_workers(loader: object) -> None:
    """Let the workers, once they start, end by their parent alone.

    Args:
        loader: of PyTorch, or one around it as Detectron2 and :class:`ResumableLoader` have it.
    """
    while loader is not None and not isinstance(loader, DataLoader):
        names = [name for name in ("loader", "dataset", "_dataset") if hasattr(loader, name)]
        loader = getattr(loader, names[0]) if names else None
    if loader is not None:
        loader.worker_init_fn = functools.partial(_start_shielded, loader.worker_init_fn)


def _start_shielded(start: Callable[[int], None] | None, worker: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_obey_parent, daemon=True).start()
    if start is not None:
        start(worker)


def _obey_parent() -> None:
    # Not os.getppid(): with a fork server, the default of Python 3.14, that is the server.
    parent = multiprocessing.parent_process().pid
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(0)

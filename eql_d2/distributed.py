"""What several processes do together; in one process nothing of it costs anything."""

import contextlib
import functools
import gc
from collections.abc import Callable, Iterator
from typing import TypeVar

import torch.distributed as dist
from detectron2.engine import defaults as d2_defaults
from detectron2.utils import comm
from torch import Tensor

T = TypeVar("T")


def sum_over_ranks(value: Tensor) -> Tensor:
    """Add up a tensor over all processes, in place. Collective: each process must call it."""
    if comm.get_world_size() > 1:
        dist.all_reduce(value)
    return value


def mean_over_ranks(value: Tensor, minimum: float = 1.0) -> Tensor:
    """Sum over all processes, at least ``minimum``, divided by their number.

    The normaliser of the official code. Collective: each process must call it.
    """
    total = sum_over_ranks(value.detach().clone().float())
    return total.clamp(min=minimum) / comm.get_world_size()


def max_over_ranks_later(value: Tensor) -> dist.Work:
    """Begin to take the maximum over all processes, in place, of a tensor on the CPU.

    Collective; with several processes only. The value is there once ``wait`` of what is returned
    has been called; meanwhile nothing waits, and GPUs have no part in it.
    """
    group = comm._get_global_gloo_group()
    return dist.all_reduce(value, dist.ReduceOp.MAX, group=group, async_op=True)


def from_main_process(compute: Callable[[], T]) -> T:
    """What ``compute`` returns, or raises, in the main process: there alone it is called.

    Collective: each process must call it. For what is small and slow to get, such as the counts of
    a large annotation file.
    """
    result = error = None
    if comm.is_main_process():
        try:
            result = compute()
        except Exception as raised:
            error = raised
    result, error = comm.all_gather((result, error))[0]
    if error is not None:
        raise error
    return result


def end_process_group() -> None:
    """Destroy the process group, if there is one, and end its threads. Collective.

    Detectron2 keeps the group in a cache. With it, gloo's threads outlive PyTorch's
    ``destroy_process_group``, and one that is busy while Python shuts down aborts the process
    ("terminate called without an active exception").
    """
    if not dist.is_initialized():
        return
    comm._get_global_gloo_group.cache_clear()
    comm._LOCAL_PROCESS_GROUP = None
    gc.collect()  # a distributed model in a reference cycle holds the group too
    dist.destroy_process_group()


@contextlib.contextmanager
def ddp_without_device_ids() -> Iterator[None]:
    """Let Detectron2 build a distributed model on CPU: it passes a GPU index, which PyTorch
    refuses there."""
    create_ddp_model = d2_defaults.create_ddp_model
    d2_defaults.create_ddp_model = functools.partial(create_ddp_model, device_ids=None)
    try:
        yield
    finally:
        d2_defaults.create_ddp_model = create_ddp_model

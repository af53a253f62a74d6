"""Start training: one process, several by ``--num-gpus``, or what ``torchrun`` started."""

import argparse
import functools
import os
from collections.abc import Callable

import torch
import torch.distributed as dist
from detectron2.engine import launch as d2_launch
from detectron2.utils import comm

from ..distributed import end_process_group


def launch(main: Callable, args: argparse.Namespace) -> None:
    """Call ``main(args)`` in each process.

    Under ``torchrun`` its processes are used; otherwise Detectron2's ``launch`` starts
    ``--num-gpus`` of them on each of ``--num-machines``. Without a GPU they talk through gloo.
    """
    if "LOCAL_WORLD_SIZE" not in os.environ:
        d2_launch(
            functools.partial(_run, main),
            args.num_gpus,
            num_machines=args.num_machines,
            machine_rank=args.machine_rank,
            dist_url=args.dist_url,
            args=(args,),
        )
        return
    has_gpu = torch.cuda.is_available()
    if has_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if has_gpu else "gloo")
    comm.create_local_process_group(int(os.environ["LOCAL_WORLD_SIZE"]))
    _run(main, args)


def _run(main: Callable, args: argparse.Namespace) -> None:
    """``main(args)``, then the end of the process group: after an error the other processes may be
    inside a collective, and to end the group would wait for them."""
    main(args)
    end_process_group()

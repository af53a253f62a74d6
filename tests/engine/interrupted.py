"""``train_net.py`` in processes of its own, which note each step and may be killed before one."""

import json
import multiprocessing
import os
import signal
import socket
import sys
import zlib

import torch

# The processes are forked from one that imports once what takes seconds. This one may have used
# hotcoco, whose threads a fork loses.
import torch._dynamo
import torch.utils.cpp_extension
import torch.utils.tensorboard
from detectron2.modeling.proposal_generator import proposal_utils

from eql_d2.engine import Trainer, get_parser, launch, train_net
from eql_d2.engine.finite_trainer import FiniteTrainer

multiprocessing.set_forkserver_preload([__name__])


def start(command, record, kill_before=None, processes=1, double=False):
    """Start a training as the arguments of ``train_net.py`` say.

    Args:
        command: the arguments.
        record: path of the notes; rank k appends to ``<record>.<k>``.
        kill_before: iteration before which each process gets a SIGKILL; with a half more, before
            its second micro-batch.
        processes: that train together.
        double: whether weights are float64, from a yaml config.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    context = multiprocessing.get_context("forkserver")
    children = [
        context.Process(
            target=_train, args=(command, record, kill_before, rank, processes, port, double)
        )
        for rank in range(processes)
    ]
    for child in children:
        child.start()
    return children


def run(command, record, kill_before=None, processes=1, double=False):
    """:func:`start`, and wait for the end; returns the log."""
    children = start(command, record, kill_before, processes, double)
    for child in children:
        child.join()
    expected = 0 if kill_before is None else -signal.SIGKILL
    log = open(f"{record}.0.log").read()
    assert [child.exitcode for child in children] == [expected] * processes, log[-3000:]
    return log


def steps(record, rank=0):
    """Of each iteration, images, losses to the last bit and learning rate, as last noted."""
    noted = {}
    for line in open(f"{record}.{rank}"):
        step = json.loads(line)
        noted[step.pop("iteration")] = step
    return noted


def final_state(output_dir):
    """All that the final checkpoint has, flat, with tensors as bytes."""
    content = torch.load(os.path.join(output_dir, "model_final.pth"), weights_only=True)
    flat = {}

    def add(path, value):
        if isinstance(value, dict):
            for key, inner in value.items():
                add(f"{path}/{key}", inner)
        elif isinstance(value, (list, tuple)):
            add(path, dict(enumerate(value)))
        elif isinstance(value, torch.Tensor):
            flat[path] = (value.dtype, tuple(value.shape), value.numpy().tobytes())
        else:
            flat[path] = value

    add("", content)
    return flat


def _train(command, record, kill_before, rank, processes, port, double):
    sys.stdout = sys.stderr = open(f"{record}.{rank}.log", "w", buffering=1)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank))
    os.environ.update(WORLD_SIZE=str(processes), LOCAL_WORLD_SIZE=str(processes))
    if processes == 1:
        del os.environ["LOCAL_WORLD_SIZE"]
    torch.set_num_threads(1)
    multiprocessing.set_start_method("fork", force=True)  # workers of the loader
    sys.argv = ["train_net.py"]
    if double:
        _use_float64()
    FiniteTrainer.run_step = _noting(FiniteTrainer.run_step, f"{record}.{rank}", kill_before)
    launch(train_net.main, get_parser().parse_args(command))


def _use_float64():
    build_model, batched_nms = Trainer.build_model, proposal_utils.batched_nms
    Trainer.build_model = staticmethod(lambda cfg: build_model(cfg).double())
    # It casts boxes to float32 and wants scores of the same type.
    proposal_utils.batched_nms = lambda boxes, scores, *args: batched_nms(
        boxes, scores.float(), *args
    )


def _noting(run_step, path, kill_before):
    def noting(self):
        if self.iter == kill_before:
            os.kill(os.getpid(), signal.SIGKILL)
        step = {"iteration": self.iter, "images": [], "pixels": [], "losses": []}

        def note_images(model, args):
            if step["images"] and self.iter + 0.5 == kill_before:
                os.kill(os.getpid(), signal.SIGKILL)
            step["images"] += [os.path.basename(record["file_name"]) for record in args[0]]
            step["pixels"] += [zlib.crc32(record["image"].numpy().tobytes()) for record in args[0]]

        def note_losses(model, args, output):
            step["losses"] += [{name: value.item().hex() for name, value in output.items()}]

        handles = [
            self.model.register_forward_pre_hook(note_images),
            self.model.register_forward_hook(note_losses),
        ]
        run_step(self)
        for handle in handles:
            handle.remove()
        step["lr"] = self.optimizer.param_groups[0]["lr"].hex()
        with open(path, "a") as file:
            file.write(json.dumps(step) + "\n")

    return noting

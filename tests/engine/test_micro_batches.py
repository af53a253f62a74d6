"""A batch that is cut into micro-batches is that batch: gradient accumulation."""

import pytest
import torch
import torch.multiprocessing as mp
from detectron2.engine import create_ddp_model
from detectron2.engine.launch import _distributed_worker
from detectron2.utils import comm
from detectron2.utils.events import get_event_storage
from torch import nn

from eql_d2 import InputError, SoftmaxEQL, TrainingError
from eql_d2.engine.finite_trainer import FiniteTrainer
from tests.engine import interrupted  # noqa: F401, whose fork server has imported what takes seconds
from tests.engine.test_finite_trainer import (
    SGD,
    AtStep,
    C,
    Model,
    Watch,
    amp,  # noqa: F401
    batches,
    build,
    equal,
    state_of,
)

STEPS = 20


def without_norm(model):
    """And without Seesaw's, which counts the batch at hand where it is one."""
    model.norm, model.loss_other = nn.Identity(), SoftmaxEQL(C + 1)
    return model


class Logged(Watch):
    def after_step(self):
        super().after_step()
        latest = get_event_storage().latest()
        self.states[-1] |= {n: torch.tensor(v) for n, (v, _) in latest.items() if "loss" in n}


def train(parts):
    watch, model = Logged(), without_norm(Model())
    optimizer = SGD(model.parameters())
    trainer = FiniteTrainer(model, batches(), optimizer, micro_batches=parts)
    trainer.register_hooks([watch])
    trainer.train(0, STEPS)
    return watch.states


def test_weights_statistics_and_what_is_logged_are_those_of_the_batch():
    whole = train(1)
    assert {"total_loss", "loss_cls", "loss_cls.statistics.pos_grad"} < whole[0].keys()
    for parts in (2, 3, 6):
        torch.testing.assert_close(train(parts), whole, rtol=1e-5, atol=1e-6)


def test_a_micro_batch_that_is_not_finite_leaves_no_trace_of_the_others():
    calls = []

    def nan_in_the_second(loss):
        calls.append(loss)
        return loss * float("nan") if len(calls) == 2 else loss

    hook = AtStep(3, change_loss=nan_in_the_second)
    trainer = build(hook=hook, micro_batches=3)
    images = r"\(images 0/0.png, 0/1.png, 0/2.png, 0/3.png, 0/4.png, 0/5.png\)$"
    with pytest.raises(TrainingError, match=f"^iteration 3: loss_cls is nan {images}"):
        trainer.train(0, 10)
    assert equal(state_of(trainer), hook.state) and len(calls) == 3
    assert hook.state["loss_other.class_count"].min() > 0


def test_amp_steps_that_the_scaler_skips_count_for_nothing(amp):  # noqa: F811
    skipping, watch = amp(2.0**24, micro_batches=2), Watch()
    before, batch = state_of(skipping), next(batches())
    skipping.register_hooks([watch])
    skipping._data_loader_iter_obj = iter([batch] * 16)
    skipping.train(0, 16)
    moved = [not equal(*pair) for pair in zip([before, *watch.states], watch.states)]
    assert 3 < moved.index(True) and moved.count(True) > 2

    direct = amp(skipping.grad_scaler.get_scale(), micro_batches=2)
    direct._data_loader_iter_obj = iter([batch] * 16)
    direct.train(0, moved.count(True))
    assert equal(state_of(skipping), state_of(direct))


@pytest.mark.parametrize("batch, size", [([1, 2, 3], "3"), ({}, "dict")])
def test_a_batch_that_cannot_be_cut_is_refused(batch, size):
    trainer = build(micro_batches=2)
    trainer._data_loader_iter_obj = iter([batch])
    with pytest.raises(InputError, match=f"^a batch of {size} cannot be cut into 2 micro-batches"):
        trainer.train(0, 1)


def joined():
    for parts in zip(batches(0), batches(1)):
        yield [sample for part in parts for sample in part]


def run_rank(folder):
    """Each of two has half of a batch, in two micro-batches; alone it is the whole."""
    rank, alone = comm.get_rank(), comm.get_world_size() == 1
    model = without_norm(Model())
    optimizer = SGD(model.parameters())
    trainer = FiniteTrainer(
        create_ddp_model(model, device_ids=None, broadcast_buffers=False),
        joined() if alone else batches(rank),
        optimizer,
        micro_batches=1 if alone else 2,
    )
    trainer.train(0, STEPS)
    torch.save(model.state_dict(), folder / f"{alone}{rank}")


@pytest.mark.slow
def test_two_processes_of_two_micro_batches_are_one_of_the_whole(tmp_path):
    run_rank(tmp_path)
    expected = torch.load(tmp_path / "True0")
    arguments = (run_rank, 2, 2, 0, f"file://{tmp_path / 'init'}", (tmp_path,))
    mp.start_processes(_distributed_worker, arguments, nprocs=2, start_method="forkserver")
    for rank in range(2):
        found = torch.load(tmp_path / f"False{rank}")
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)

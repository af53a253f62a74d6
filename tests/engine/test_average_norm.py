"""Batch norms of two processes, and when they are averaged."""

from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn

from eql_d2.distributed import end_process_group
from eql_d2.engine import average_norm
from eql_d2.engine.average_norm import AverageNormHook, average_norms
from eql_d2.engine.build import averaging_hooks
from eql_d2.engine.model_ema import ModelEMA


def model_of(rank):
    """Numbers of each process; a batch norm in float64 that float32 could not average."""
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.BatchNorm2d(2).double())
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor.fill_(10 + rank)
        model[2].running_mean.fill_(2.0**40 + rank)
    return model


def run_rank(rank, store, result_file):
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    model = model_of(rank)
    average = ModelEMA(model, 0.9, 20)
    average.module[1].bias.fill_(rank)
    reduced, all_reduce = [], dist.all_reduce
    dist.all_reduce = lambda value, *args: (reduced.append(value.numel()), all_reduce(value, *args))
    average_norms([model, average])
    torch.save((model.state_dict(), average.state_dict(), reduced), f"{result_file}{rank}")
    end_process_group()


@pytest.mark.slow
def test_two_processes_have_the_mean_of_their_batch_norms(tmp_path):
    mp.spawn(run_rank, (tmp_path / "store", f"{tmp_path}/result"), nprocs=2)
    for rank in range(2):
        state, average, reduced = torch.load(f"{tmp_path}/result{rank}")
        assert reduced == [2 * 2 * 4 * 2]  # one of all: two models, two norms, four of two numbers
        for entries in (state, {k.removeprefix("module."): v for k, v in average.items()}):
            assert (entries["0.weight"] == 10 + rank).all() and (
                entries["0.bias"] == 10 + rank
            ).all()
            for norm in "12":
                for name in ("weight", "running_var"):
                    assert (entries[f"{norm}.{name}"] == 10.5).all()
                assert entries[f"{norm}.num_batches_tracked"] == 10 + rank
            assert entries["2.running_mean"].dtype == torch.float64
            assert (entries["2.running_mean"] == 2.0**40 + 0.5).all()
        assert (state["1.bias"] == 10.5).all() and (average["module.1.bias"] == 0.5).all()


@pytest.mark.parametrize(
    ("periods", "expected"),
    [((0, 100), [8]), ((3, 100), [3, 6, 8]), ((3, 2), [2, 3, 4, 6, 8]), ((4, 4), [4, 8])],
)
def test_it_is_done_before_evaluations_checkpoints_and_the_end(monkeypatch, periods, expected):
    done, model = [], nn.BatchNorm2d(1)
    hook = AverageNormHook(periods, [model])
    hook.trainer = SimpleNamespace(max_iter=8)
    monkeypatch.setattr(average_norm, "average_norms", lambda models: done.append((i, models)))
    for i in range(1, 9):
        hook.trainer.iter = i - 1
        hook.after_step()
    assert done == [(i, [model]) for i in expected]


def test_the_average_over_the_steps_is_averaged_over_the_processes_too(monkeypatch):
    done, model = [], model_of(0)
    average = ModelEMA(model, 0.9, 20)
    monkeypatch.setattr(average_norm, "average_norms", done.append)
    for given, expected in ((average, [model, average]), (None, [model])):
        hook = averaging_hooks(model, given, True, (1, 0))[-1]
        hook.trainer = SimpleNamespace(max_iter=8, iter=0)
        hook.after_step()
        assert done.pop() == expected


def test_one_process_is_left_alone():
    model = model_of(0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    average_norms([model])
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())

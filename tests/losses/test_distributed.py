"""Two gloo processes against one."""

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from eql_d2 import EFL, EQLv2, SoftmaxEQL
from eql_d2.distributed import end_process_group, mean_over_ranks

NUM_CLASSES = 8


def steps(rows_per_step=40, num_steps=10):
    generator = torch.Generator().manual_seed(0)
    for _ in range(num_steps):
        logits = torch.randn(rows_per_step, NUM_CLASSES + 1, generator=generator) - 3
        yield logits, torch.randint(NUM_CLASSES + 1, (rows_per_step,), generator=generator)


def train(rank, loss_class, shares, port_file, result_file):
    """Rank 0 trains on the first ``shares[0]`` rows of each step, rank 1 on the next."""
    dist.init_process_group(
        "gloo", init_method=f"file://{port_file}", rank=rank, world_size=len(shares)
    )
    start = sum(shares[:rank])
    rows = slice(start, start + shares[rank])
    loss = loss_class(NUM_CLASSES)
    for logits, targets in steps():
        loss(logits[rows], targets[rows])
    torch.save(loss.state_dict(), f"{result_file}{rank}")
    end_process_group()


def statistics_of(shares, tmp_path, loss_class=EQLv2):
    args = (loss_class, shares, tmp_path / f"store{shares}", f"{tmp_path}/result{shares}")
    mp.spawn(train, args, nprocs=len(shares))
    return [torch.load(f"{args[3]}{rank}") for rank in range(len(shares))]


def joined(loss_class=EQLv2):
    loss = loss_class(NUM_CLASSES)
    for batch in steps():
        loss(*batch)
    return loss.state_dict()


@pytest.mark.parametrize("loss_class", [EQLv2, SoftmaxEQL])
@pytest.mark.slow
def test_two_processes_with_half_the_batch_equal_one_with_the_whole(tmp_path, loss_class):
    for state in statistics_of([20, 20], tmp_path, loss_class):
        for name, value in joined(loss_class).items():
            torch.testing.assert_close(state[name], value, rtol=1e-6, atol=0)


def train_efl(rank, result_file, port_file):
    """Each rank has half of the images; the normaliser is the mean of positives over ranks."""
    dist.init_process_group("gloo", init_method=f"file://{port_file}", rank=rank, world_size=2)
    loss = EFL(NUM_CLASSES)
    for logits, targets in steps():
        rows = slice(20 * rank, 20 * rank + 20)
        normalizer = mean_over_ranks((targets[rows] < NUM_CLASSES).sum())
        loss(logits[rows, :-1], targets[rows], normalizer=normalizer)
    torch.save(loss.state_dict(), f"{result_file}{rank}")
    end_process_group()


@pytest.mark.slow
def test_efl_of_two_processes_has_the_ratios_of_one(tmp_path):
    """The mean normaliser of the official code makes the sums of two processes twice as large."""
    mp.spawn(train_efl, (f"{tmp_path}/result", tmp_path / "store"), nprocs=2)
    loss = EFL(NUM_CLASSES)
    for logits, targets in steps():
        loss(logits[:, :-1], targets, normalizer=(targets < NUM_CLASSES).sum())
    for rank in range(2):
        state = torch.load(f"{tmp_path}/result{rank}")
        for name, value in loss.state_dict().items():
            torch.testing.assert_close(state[name], 2 * value, rtol=1e-6, atol=0)


@pytest.mark.slow
def test_t3_a_process_without_rois_does_not_hang_the_other(tmp_path):
    for state in statistics_of([40, 0], tmp_path):
        for name, value in joined().items():
            torch.testing.assert_close(state[name], value, rtol=1e-6, atol=0)

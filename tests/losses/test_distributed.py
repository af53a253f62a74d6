"""Two gloo processes against one."""

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from eql_d2 import EQLv2

NUM_CLASSES = 8


def steps(rows_per_step=40, num_steps=10):
    generator = torch.Generator().manual_seed(0)
    for _ in range(num_steps):
        logits = torch.randn(rows_per_step, NUM_CLASSES + 1, generator=generator) - 3
        yield logits, torch.randint(NUM_CLASSES + 1, (rows_per_step,), generator=generator)


def train(rank, shares, port_file, result_file):
    """Rank 0 trains on the first ``shares[0]`` rows of each step, rank 1 on the next."""
    dist.init_process_group(
        "gloo", init_method=f"file://{port_file}", rank=rank, world_size=len(shares)
    )
    start = sum(shares[:rank])
    rows = slice(start, start + shares[rank])
    loss = EQLv2(NUM_CLASSES)
    for logits, targets in steps():
        loss(logits[rows], targets[rows])
    torch.save(loss.state_dict(), f"{result_file}{rank}")
    dist.destroy_process_group()


def statistics_of(shares, tmp_path):
    args = (shares, tmp_path / f"store{shares}", f"{tmp_path}/result{shares}")
    mp.spawn(train, args, nprocs=len(shares))
    return [torch.load(f"{args[2]}{rank}") for rank in range(len(shares))]


def joined():
    loss = EQLv2(NUM_CLASSES)
    for batch in steps():
        loss(*batch)
    return loss.state_dict()


def test_two_processes_with_half_the_batch_equal_one_with_the_whole(tmp_path):
    for state in statistics_of([20, 20], tmp_path):
        for name, value in joined().items():
            torch.testing.assert_close(state[name], value, rtol=1e-6, atol=0)


def test_t3_a_process_without_rois_does_not_hang_the_other(tmp_path):
    for state in statistics_of([40, 0], tmp_path):
        for name, value in joined().items():
            torch.testing.assert_close(state[name], value, rtol=1e-6, atol=0)

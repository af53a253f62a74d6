"""YOLOX's schedule, of each step of a short training, against its formula."""

import math

import pytest
import torch
from detectron2.config import LazyCall as L
from detectron2.config import instantiate
from detectron2.solver import LRMultiplier

from eql_d2 import InputError
from eql_d2.solver import WarmupCosineConstantParamScheduler, build_lr_scheduler

BASE_LR, END = 0.04, 0.002


def formula(i, warmup, constant, total):
    if i < warmup:
        return BASE_LR * (i / warmup) ** 2
    if i >= total - constant:
        return END
    progress = (i - warmup) / (total - warmup - constant)
    return END + (BASE_LR - END) * 0.5 * (1 + math.cos(math.pi * progress))


def optimizer(rates=(BASE_LR,)):
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": rate} for rate in rates]
    return torch.optim.SGD(groups, lr=BASE_LR)


def rates(optimizer, scheduler, total):
    """Of each step, and what the scheduler sets after the last, as Detectron2's hook makes it."""
    found = []
    for _ in range(total):
        found.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    return [*found, [group["lr"] for group in optimizer.param_groups]]


@pytest.mark.parametrize(
    ("warmup", "constant", "total"), [(5, 15, 100), (7, 3, 19), (0, 4, 12), (3, 0, 12), (0, 0, 9)]
)
def test_each_step_has_the_rate_of_the_formula_in_yaml_and_lazy_configs(
    tiny_cfg, warmup, constant, total
):
    tiny_cfg.SOLVER.update(
        LR_SCHEDULER_NAME="WarmupCosineConstantLR",
        **{"BASE_LR": BASE_LR, "BASE_LR_END": END, "MAX_ITER": total},
        **{"WARMUP_ITERS": warmup, "CONSTANT_ITERS": constant},
    )
    of_yaml = optimizer((BASE_LR, BASE_LR / 4))
    found = rates(of_yaml, build_lr_scheduler(tiny_cfg, of_yaml), total)
    expected = [formula(i, warmup, constant, total) for i in range(total + 1)]
    assert [rate for rate, _ in found] == pytest.approx(expected, rel=1e-9, abs=1e-15)
    assert [rate for _, rate in found] == pytest.approx([r / 4 for r in expected], rel=1e-9)

    multiplier = L(WarmupCosineConstantParamScheduler)(
        end_value=END / BASE_LR, warmup_length=warmup / total, constant_length=constant / total
    )
    of_lazy = optimizer()
    scheduler = LRMultiplier(of_lazy, instantiate(multiplier), total)
    assert [rate for (rate,) in rates(of_lazy, scheduler, total)] == [rate for rate, _ in found]


def test_the_official_schedule_at_its_corners():
    """300 epochs of 776 steps: 5 of warm-up, 15 of 5%."""
    multiplier = WarmupCosineConstantParamScheduler(0.05, 5 / 300, 15 / 300)
    total = 300 * 776
    assert multiplier(0) == 0
    assert multiplier(2.5 / 300) == pytest.approx(0.25)
    assert multiplier(5 / 300) == pytest.approx(1)
    assert multiplier(145 / 300) == pytest.approx(0.525)  # in the middle of the cosine
    assert multiplier((285 * 776 - 1) / total) == pytest.approx(0.05, rel=1e-6)
    assert {multiplier(i / total) for i in range(285 * 776, total + 1, 97)} == {0.05}


def test_a_training_shorter_than_the_warm_up_is_all_warm_up(tiny_cfg):
    tiny_cfg.SOLVER.update(
        LR_SCHEDULER_NAME="WarmupCosineConstantLR", BASE_LR=BASE_LR, MAX_ITER=4, WARMUP_ITERS=1000
    )
    short = optimizer()
    found = rates(short, build_lr_scheduler(tiny_cfg, short), 4)
    assert [rate for (rate,) in found[:4]] == [BASE_LR * (i / 4) ** 2 for i in range(4)]


def test_no_time_for_the_cosine_is_refused():
    with pytest.raises(InputError, match="warmup_length is 0.5 and constant_length 0.6: together"):
        WarmupCosineConstantParamScheduler(0.05, 0.5, 0.6)

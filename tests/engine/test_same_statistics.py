"""How far the statistics of processes may be apart. Two real ones: test_finite_trainer.py."""

from types import SimpleNamespace

import pytest
import torch
import torch.distributed as dist
from detectron2.utils import comm
from torch import nn

from eql_d2 import EQLv2, TrainingError
from eql_d2.engine.same_statistics import SameStatisticsHook


@pytest.mark.parametrize("apart, is_refused", [(0, False), (1e-8, False), (1e-5, True)])
@pytest.mark.parametrize("sign", [1, -1])
def test_statistics_that_differ_by_more_than_a_millionth_are_refused(
    monkeypatch, apart, is_refused, sign
):
    model = nn.ModuleDict({"loss_cls": EQLv2(3)})
    statistics = model["loss_cls"].statistics
    statistics.update(torch.tensor([1.0, 1e6, 7.0]), torch.tensor([2.0, 3.0, 1e-3]))

    def of_another(extremes, op):
        assert op == dist.ReduceOp.MAX
        other = extremes.clone()
        other[:, 4] *= 1 + sign * apart  # the negative gradient of class 1
        extremes.copy_(torch.maximum(extremes, other))

    def gathered(values):
        other = {path: value.clone() for path, value in values.items()}
        other["loss_cls.statistics"][4] *= 1 + sign * apart
        return [values, other]

    monkeypatch.setattr(comm, "get_world_size", lambda: 2)
    monkeypatch.setattr(comm, "all_gather", gathered)
    monkeypatch.setattr(dist, "all_reduce", of_another)
    hook = SameStatisticsHook(1)
    hook.trainer = SimpleNamespace(model=model, iter=4, max_iter=9)
    hook.before_train()
    if not is_refused:
        return hook.after_step()
    with pytest.raises(TrainingError, match="^iteration 5: the statistics of loss_cls in process"):
        hook.after_step()

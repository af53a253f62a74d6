from itertools import islice

import pytest
import torch
from detectron2.data.samplers import (
    RandomSubsetTrainingSampler,
    RepeatFactorTrainingSampler,
    TrainingSampler,
)
from torch.utils.data import SequentialSampler

from eql_d2.data import CeilRepeatFactorTrainingSampler, get_order, set_order
from eql_d2.data.samplers import FastRepeatFactorTrainingSampler, fast

FACTORS = 1 + 3 * torch.rand(40, generator=torch.Generator().manual_seed(0)) ** 4


@pytest.mark.parametrize(
    "build",
    [
        lambda: TrainingSampler(40),
        lambda: RandomSubsetTrainingSampler(40, 0.6),
        lambda: RepeatFactorTrainingSampler(FACTORS),
        lambda: CeilRepeatFactorTrainingSampler(FACTORS),
    ],
)
def test_a_sampler_takes_the_order_of_another(build):
    one, other = build(), build()
    assert list(islice(one, 90)) != list(islice(other, 90))
    set_order(other, get_order(one))
    assert list(islice(one, 90)) == list(islice(other, 90))


def test_other_samplers_have_no_order_to_keep():
    sampler = SequentialSampler(range(3))
    assert get_order(sampler) == {}
    set_order(sampler, {"seed": 3})
    assert list(sampler) == [0, 1, 2]


@pytest.mark.parametrize("shuffle", [True, False])
def test_the_fast_sampler_has_the_indices_of_detectron2s(shuffle):
    sampler = RepeatFactorTrainingSampler(FACTORS, shuffle=shuffle, seed=3)
    assert isinstance(fast(sampler), FastRepeatFactorTrainingSampler)
    assert list(islice(fast(sampler), 500)) == list(islice(sampler, 500))
    training = TrainingSampler(3)
    assert fast(training) is training

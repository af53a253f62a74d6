from collections import Counter
from itertools import islice

import pytest
import torch
from detectron2.data.samplers import RepeatFactorTrainingSampler, TrainingSampler

from eql_d2 import InputError
from eql_d2.data import CeilRepeatFactorTrainingSampler, round_repeat_factors, training_records
from eql_d2.engine import Trainer

FACTORS = torch.tensor([1.0, 1.01, 1.99, 2.0, 3.5])


def test_each_epoch_has_each_image_as_often_as_its_factor_rounded_up():
    sampler = CeilRepeatFactorTrainingSampler(FACTORS, seed=3)
    indices = list(islice(sampler, 3 * 11))
    for epoch in range(3):
        counts = Counter(indices[11 * epoch : 11 * (epoch + 1)])
        assert counts == {0: 1, 1: 2, 2: 2, 3: 2, 4: 4}
    assert indices[:11] != indices[11:22]


def test_the_seed_is_that_of_detectron2s_sampler():
    sampler = RepeatFactorTrainingSampler(FACTORS, seed=3)
    assert round_repeat_factors(sampler, "stochastic") is sampler
    rounded = round_repeat_factors(sampler, "ceil")
    expected = CeilRepeatFactorTrainingSampler(FACTORS, seed=3)
    assert list(islice(rounded, 22)) == list(islice(expected, 22))


@pytest.mark.parametrize(
    ("sampler", "rounding", "message"),
    [
        (RepeatFactorTrainingSampler(FACTORS, seed=3), "up", "'up': choose stochastic .* or ceil"),
        (TrainingSampler(5, seed=3), "ceil", "but TrainingSampler repeats nothing: set SAMPLER_TR"),
    ],
)
def test_what_cannot_be_rounded_is_refused(sampler, rounding, message):
    with pytest.raises(InputError, match=message) as error:
        round_repeat_factors(sampler, rounding)
    assert "\n" not in str(error.value)


def test_the_config_chooses(registered_cfg):
    registered_cfg.DATALOADER.SAMPLER_TRAIN = "RepeatFactorTrainingSampler"
    registered_cfg.DATALOADER.REPEAT_THRESHOLD = 0.9
    factors = training_records(Trainer.build_train_loader(registered_cfg)).repeat_factors
    assert (factors % 1 > 0).any()
    registered_cfg.DATALOADER.REPEAT_ROUNDING = "ceil"
    rounded = training_records(Trainer.build_train_loader(registered_cfg)).repeat_factors
    assert rounded.tolist() == [-(-factor // 1) for factor in factors.tolist()]

"""MODEL.EQL.MONITOR: a baseline measured without being changed."""

import pytest
import torch
import torch.nn.functional as F

from eql_d2 import (
    ECM,
    EQL,
    SEQL,
    ClassWeightedSigmoidCE,
    FocalLoss,
    SeesawLoss,
    SigmoidCE,
    SoftmaxCE,
)
from tests.losses.test_softmax_eql import BY_SAMPLES, C, batch, build, value_and_gradient

LOSSES = [SoftmaxCE, SigmoidCE, EQL, SEQL, FocalLoss, *BY_SAMPLES, SeesawLoss]
UNDIVIDED = (SigmoidCE, EQL, ECM, ClassWeightedSigmoidCE)


@pytest.mark.parametrize("loss_class", LOSSES)
def test_monitored_baseline_trains_the_same_to_the_last_bit(loss_class):
    """And measures its own gradients, each step."""
    plain, monitored = build(loss_class), build(loss_class)
    monitored.monitor()
    expected_pos = torch.zeros(C, dtype=torch.float64)
    for seed in range(3):
        logits, targets = batch(seed=seed)
        torch.manual_seed(seed)  # SEQL draws
        expected = value_and_gradient(plain, logits, targets)
        torch.manual_seed(seed)
        value, gradient = value_and_gradient(monitored, logits, targets)
        assert torch.equal(value, expected[0]) and torch.equal(gradient, expected[1])
        scale = len(targets) if loss_class in UNDIVIDED else 1  # they count before the mean
        expected_pos += scale * (gradient.abs() * F.one_hot(targets, C)).sum(0)
    torch.testing.assert_close(monitored.statistics.pos_grad, expected_pos, rtol=1e-5, atol=0)
    assert plain.statistics is None and monitored.statistics.neg_grad.sum() > 0

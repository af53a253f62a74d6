"""Losses, counts and logits for the tests of calibration."""

import torch

from eql_d2 import ECM, EQL, SEQL, BalancedSoftmax, EQLv2, SigmoidCE, SoftmaxCE, SoftmaxEQL

C = 5
COUNT = torch.tensor([1000.0, 120, 40, 7, 1])
FREQUENCY = torch.tensor([0.5, 0.2, 1e-5, 0.3, 1e-5])
SOFTMAX = [SoftmaxCE, SEQL]
SIGMOID = [SigmoidCE, EQL, EQLv2]
WITH_MARGINS = [SoftmaxEQL, BalancedSoftmax, ECM]


def build(loss_class):
    if loss_class in (EQL, SEQL):
        return loss_class(C, FREQUENCY)
    return loss_class(C, COUNT) if loss_class in (BalancedSoftmax, ECM) else loss_class(C)


def batch(columns=C + 1, rows=20, dtype=torch.float64):
    generator = torch.Generator().manual_seed(columns)
    return 3 * torch.randn(rows, columns, generator=generator, dtype=dtype)


def calibrated_scores(loss, logits):
    return loss.scores(loss.calibration(logits))

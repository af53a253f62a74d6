"""200 steps of SGD on a linear classifier: our losses against the slow references."""

import pytest
import torch

from eql_d2 import EQL, EQLv2
from tests.reference.sigmoid_losses import ReferenceEQL, ReferenceEQLv2


def relative_difference(ours, reference):
    return float((ours.double() - reference).norm() / reference.norm().clamp(min=1e-12))


def long_tailed_batch(generator, num_classes, num_rows=64, num_features=16):
    """Features and labels; three quarters background, the foreground classes exponential."""
    share = torch.logspace(0, -2.5, num_classes)
    targets = torch.multinomial(share, num_rows, replacement=True, generator=generator)
    targets[torch.rand(num_rows, generator=generator) < 0.75] = num_classes
    return torch.randn(num_rows, num_features, generator=generator), targets


def sgd_differences(loss_module, reference, num_classes, steps=200):
    """Largest relative difference of loss and logit gradient on a common trajectory."""
    generator = torch.Generator().manual_seed(num_classes)
    weight = 0.01 * torch.randn(16, num_classes + 1, generator=generator)
    bias = torch.full((num_classes + 1,), -6.9)
    worst = 0.0
    for _ in range(steps):
        features, targets = long_tailed_batch(generator, num_classes)
        logits = (features @ weight + bias).requires_grad_()
        loss = loss_module(logits, targets)
        loss.backward()
        expected_loss, expected_gradient = reference.step(logits, targets)
        worst = max(
            worst,
            relative_difference(loss.detach(), expected_loss),
            relative_difference(logits.grad, expected_gradient),
        )
        weight -= 2.0 * features.t() @ logits.grad
        bias -= 2.0 * logits.grad.sum(0)
    assert float(loss) < 7  # it moves
    return worst


@pytest.mark.parametrize("num_classes", [50, 1203])
def test_eqlv2_equals_the_reference_over_200_steps(num_classes):
    loss, reference = EQLv2(num_classes), ReferenceEQLv2(num_classes)
    assert sgd_differences(loss, reference, num_classes) <= 1e-5
    assert relative_difference(loss.statistics.pos_grad, reference.pos_grad) <= 1e-5
    assert relative_difference(loss.statistics.neg_grad, reference.neg_grad) <= 1e-5
    assert relative_difference(loss.statistics.ratio(), reference.ratio) <= 1e-5


@pytest.mark.parametrize("num_classes", [50, 1203])
def test_eql_equals_the_reference_over_200_steps(num_classes):
    frequency = torch.logspace(-1, -5, num_classes, dtype=torch.float64)
    loss = EQL(num_classes, frequency, lambda_=1e-3)
    reference = ReferenceEQL(frequency, lambda_=1e-3)
    assert sgd_differences(loss, reference, num_classes) <= 1e-5

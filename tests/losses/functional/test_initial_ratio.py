"""The predicted gradient ratio against autograd, and against what the losses accumulate."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F

from eql_d2 import EFL, EQFL, EQL, EQLv2, FocalLoss, SigmoidCE
from eql_d2.losses import FocalFamily
from eql_d2.losses.functional import (
    initial_gradients,
    initial_ratio,
    prior_for_ratio,
    step_weights,
)

C = 4
LABELS = torch.tensor([0] * 6 + [1] * 3 + [2] + [C] * 190)
POSITIVES = torch.tensor([6.0, 3.0, 1.0, 0.0])


def logit(p):
    return math.log(p / (1 - p))


@pytest.mark.parametrize("prior", [1e-5, 0.001, 0.03, 0.4])
@pytest.mark.parametrize("gamma, alpha", [(0, -1), (0, 0.3), (1, 0.25), (2, 0.25), (3.5, -1)])
def test_gradients_are_the_derivatives(prior, gamma, alpha):
    z = torch.tensor([logit(prior)] * 2, dtype=torch.float64, requires_grad=True)
    p, y = z.sigmoid(), torch.tensor([1.0, 0.0], dtype=torch.float64)
    p_t = torch.where(y == 1, p, 1 - p)
    weight = torch.tensor([alpha, 1 - alpha] if alpha >= 0 else [1.0, 1.0], dtype=torch.float64)
    (
        weight * (1 - p_t) ** gamma * F.binary_cross_entropy_with_logits(z, y, reduction="none")
    ).sum().backward()
    assert initial_gradients(prior, gamma, alpha) == pytest.approx(z.grad.abs().tolist(), rel=1e-9)


@pytest.mark.parametrize("quality", [0.3, 0.6, 1.0])
@pytest.mark.parametrize("gamma", [0, 1, 2, 2.5])
def test_gradient_of_a_quality_is_the_derivative(gamma, quality):
    z = torch.tensor(logit(0.01), dtype=torch.float64, requires_grad=True)
    q = torch.tensor(quality, dtype=torch.float64)
    ((q - z.sigmoid()).abs() ** gamma * F.binary_cross_entropy_with_logits(z, q)).backward()
    found = initial_gradients(0.01, gamma, quality=quality)[0]
    assert found == pytest.approx(abs(float(z.grad)), rel=1e-9)


def test_limits():
    assert initial_gradients(0.2) == (0.8, pytest.approx(0.2))  # a sigmoid's
    # The focal loss of a small prior: alpha, and (1 - alpha) 3 pi^3
    positive, negative = initial_gradients(1e-4, 2.0, 0.25)
    assert positive == pytest.approx(0.25, rel=3e-3)
    assert negative == pytest.approx(0.75 * 3e-12, rel=1e-3)
    assert initial_ratio(0.01, torch.zeros(3), 100).tolist() == [0, 0, 0]


@pytest.mark.parametrize("prior", [0.001, 0.03])
@pytest.mark.parametrize("loss_class", [FocalLoss, EFL, EQFL, SigmoidCE, EQL, EQLv2])
def test_is_what_a_loss_accumulates_in_its_first_step(loss_class, prior):
    kwargs = {"image_frequency": torch.ones(C)} if loss_class is EQL else {}
    loss = loss_class(C, prior_prob=prior, **kwargs)
    loss.monitor()
    logits = torch.full((len(LABELS), loss.num_logits), logit(prior))
    quality = {"quality": torch.full((len(LABELS),), 0.6)} if loss.uses_quality else {}
    loss(logits, LABELS, **quality)
    form = {}
    if isinstance(loss, FocalFamily):
        form = {"gamma": loss.gamma, "alpha": loss.alpha}
    if loss.uses_quality:
        form["quality"] = 0.6
    expected = initial_ratio(prior, POSITIVES, len(LABELS), **form)
    found = loss.statistics.pos_grad / loss.statistics.neg_grad
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=0)


def test_ratio_goes_by_the_share_of_the_positives():
    few, many = (initial_ratio(0.01, n * POSITIVES, n * 200, 2.0, 0.25) for n in (1, 7))
    torch.testing.assert_close(few, many)


@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_step_weights_are_the_means_over_all_batches(batch_size):
    share = torch.tensor([0.2, 0.3, 0.0, 0.0, 0.5], dtype=torch.float64)
    expected = []
    for number in range(len(share)):
        others = itertools.product(range(len(share)), repeat=batch_size - 1)
        terms = (share[list(x)].prod() / max(number + sum(x), 1) for x in others)
        expected.append(float(sum(terms)) * batch_size * 2.3)
    assert step_weights(share, batch_size).tolist() == pytest.approx(expected)


def test_step_weights_of_many_images_or_equal_ones_are_one():
    for batch_size in (1, 16):
        assert float(step_weights(torch.tensor([0.0, 0.0, 1.0]), batch_size)[2]) == pytest.approx(1)
    many = step_weights(torch.tensor([0.0, 0.5, 0.5]), 2000)
    torch.testing.assert_close(many, torch.ones_like(many), rtol=0, atol=2e-3)
    assert step_weights(torch.tensor([1.0]), 4).tolist() == [1]


@pytest.mark.parametrize("form", [(0.0, -1.0, None), (2.0, 0.25, None), (2.0, -1.0, 0.6)])
def test_prior_for_ratio_is_the_inverse(form):
    ratios = [0.001, 0.05, 1.0, 40.0]
    priors = [prior_for_ratio(ratio, 0.02, 2400, *form) for ratio in ratios]
    assert priors == sorted(priors, reverse=True)
    for prior, ratio in zip(priors, ratios):
        if 2e-6 < prior < 0.49:
            found = initial_ratio(prior, torch.tensor([0.02]), 2400, *form).item()
            assert found == pytest.approx(ratio, rel=1e-6)
    assert prior_for_ratio(1e-9, 100.0, 200, *form) == pytest.approx(0.5)
    assert prior_for_ratio(1e30, 1e-3, 2400, *form) == pytest.approx(1e-6)

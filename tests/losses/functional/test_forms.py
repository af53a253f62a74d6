"""All forms against one plain reference, where numbers end: at infinity, at 0, and in sums."""

import math
import os

import pytest
import torch

from eql_d2 import SEQL
from eql_d2.losses.functional import (
    backend,
    class_focal_loss,
    initial_gradients,
    softmax_cross_entropy,
    weighted_sigmoid_cross_entropy,
)
from tests.losses.functional import plain
from tests.losses.functional.problems import DEVICE, answers, assert_same, needs_triton, on_device

_INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
# Form, dtype of the logits, and difference from float64
FORMS = [
    ("blocks", torch.float64, 1e-12),
    ("blocks", torch.float32, 1e-5),
    ("dense", torch.float64, 1e-12),
    ("dense", torch.float32, 1e-5),
    pytest.param(
        ("kernels", torch.float32, 1e-5),
        marks=[
            needs_triton,
            pytest.mark.skipif(
                DEVICE == "cpu" and not _INTERPRETED,
                reason="there is neither a GPU nor TRITON_INTERPRET=1",
            ),
        ],
    ),
]
INFINITE = -math.inf
# Labels, one of them ignored, and logits, some of which are minus infinity
LABEL = torch.tensor([0, 1, 2, 3, -1, 1])


def logits_of_six_rows():
    z = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    z[1, 0] = z[2, 1] = z[5, 3] = z[5, 2] = z[4] = INFINITE
    return z


def weights(number):
    generator = torch.Generator().manual_seed(1)
    return (0.1 + torch.rand(number, 4, generator=generator, dtype=torch.float64)).unbind()


def check(function, form, problem):
    """Loss, sums and gradient; the loss as far as it is finite, else as the reference."""
    form, dtype, bound = form
    expected = list(getattr(plain, function.__name__)(*problem))
    expected[3] = 3 * expected[3]
    if function is class_focal_loss:  # of planes
        z, label, gamma, pos_weight, neg_weight, *quality = problem
        quality = [q[:, None] for q in quality] or None
        problem = [z[..., None]], [label[:, None]], gamma, pos_weight, neg_weight, quality
        expected[3] = expected[3][..., None]
    found = answers(function, problem, form, dtype)
    assert_same(found[1:], expected[1:], bound)
    torch.testing.assert_close(found[0], expected[0], rtol=bound, atol=0)


@pytest.fixture(params=FORMS, ids=lambda form: f"{form[0]}-{str(form[1])[6:]}")
def form(request):
    return request.param


@pytest.mark.parametrize("at_label", [False, True])
def test_a_sigmoid_of_minus_infinity(form, at_label):
    z = logits_of_six_rows()
    z[0, 0] = INFINITE if at_label else 0.0
    check(weighted_sigmoid_cross_entropy, form, (z, LABEL, *weights(2)))


@pytest.mark.parametrize("at_label", [False, True])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 9.5])
def test_a_focal_loss_of_minus_infinity(form, gamma, at_label):
    z, factors = logits_of_six_rows(), torch.full((4,), gamma, dtype=torch.float64)
    z[0, 0] = INFINITE if at_label else 0.0
    check(class_focal_loss, form, (z, LABEL, factors, *weights(2)))


@pytest.mark.parametrize("at_label", [False, True])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 9.5])
def test_a_quality_that_is_reached_has_a_derivative_of_zero(form, gamma, at_label):
    """Row 2 is there, at p = q = 1/2; row 0, of quality 0, is with a logit of minus infinity."""
    z, factors = logits_of_six_rows(), torch.full((4,), gamma, dtype=torch.float64)
    quality = torch.tensor([0.0, 1.0, 0.5, 0.3, 0.2, 0.25], dtype=torch.float64)
    z[2, 2], z[0, 0] = 0.0, INFINITE
    z[1, 1] = INFINITE if at_label else 0.0
    check(class_focal_loss, form, (z, LABEL, factors, *weights(2), quality))


@pytest.mark.parametrize("prior", [0.01, 0.5])
@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_the_predicted_ratio_of_a_quality_that_is_the_prior_is_finite(gamma, prior):
    """It is that of the loss, of one number and of classes."""
    found = initial_gradients(prior, gamma, quality=prior)
    assert found[0] == 0 and found[1] > 0
    quality = torch.tensor([prior, 0.6], dtype=torch.float64)
    of_classes = initial_gradients(prior, gamma, quality=quality)[0]
    assert of_classes.tolist() == [0.0, initial_gradients(prior, gamma, quality=0.6)[0]]


@pytest.mark.parametrize("at_label", [False, True])
def test_a_softmax_of_minus_infinity(form, at_label):
    """Of more columns than a kernel takes at once, the first of which are all left out."""
    generator = torch.Generator().manual_seed(0)
    z, margin = torch.randn(5, 1100, generator=generator, dtype=torch.float64), torch.ones(1100)
    z[:4, :520] = INFINITE
    z[1, 3] = 0.0
    label = torch.tensor([600, 3, 1099, -1, 7])
    z[0, 600] = INFINITE if at_label else 0.0
    z[3] = INFINITE
    check(softmax_cross_entropy, form, (z, label, margin.double(), 2.0))


def test_a_softmax_of_minus_infinity_where_soft_labels_have_no_share(form):
    z = logits_of_six_rows()
    z[4] = 0.0
    y = torch.rand(6, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    y[z == INFINITE] = 0
    check(softmax_cross_entropy, form, (z, y, torch.ones(4).double(), 2.0))


@pytest.mark.parametrize(
    "function", [weighted_sigmoid_cross_entropy, class_focal_loss, softmax_cross_entropy]
)
@pytest.mark.parametrize("form", FORMS[1::2] + FORMS[-1:], indirect=True, ids=lambda form: form[0])
def test_the_sums_of_millions_of_positions_lose_nothing(form, function):
    """A float32 that goes up by 0.27 is 3% off after some of them."""
    positions = 3_000 if form[0] == "kernels" else 2_000_000
    z, label, one = torch.tensor([[1.0, 0.5]]), torch.tensor([0]), torch.ones(2)
    factors = {class_focal_loss: (one, one, one), softmax_cross_entropy: (0 * one,)}
    factors = factors.get(function, (one, one))
    expected = getattr(plain, function.__name__)(z.double(), label, *(x.double() for x in factors))
    z, label = z.view(1, 2, 1).expand(1, 2, positions), label.view(1, 1).expand(1, positions)
    z, label, *factors = (x.to(DEVICE) for x in (z, label, *factors))
    z, label = ([z], [label]) if function is class_focal_loss else (z, label)
    with backend(form[0]), torch.no_grad():
        found = function(z, label, *factors)
    for ours, theirs in zip(found, expected):
        torch.testing.assert_close(ours.double().cpu(), positions * theirs, rtol=2e-6, atol=0)


def test_seql_is_monitored_although_it_leaves_out_all_that_come_first(form):
    frequency = torch.zeros(600)
    frequency[560:] = 1.0
    loss, expected = (SEQL(600, frequency, gamma=1.0) for _ in range(2))
    label = torch.arange(560, 600)
    z = torch.randn(40, 600, generator=torch.Generator().manual_seed(0))
    for each, name in ((loss, form[0]), (expected, "blocks")):
        each.monitor()
        with backend(name):
            (on_device(each) if name == "kernels" else each)(z, label)
    torch.testing.assert_close(loss.state_dict(), expected.state_dict(), rtol=1e-5, atol=1e-9)
    assert loss.statistics.pos_grad[560:].min() > 0
    assert loss.statistics.neg_grad[:560].max() == 0 < loss.statistics.neg_grad[560:].min()

import pytest
import torch
import torch.nn.functional as F

from eql_d2 import (
    ECM,
    EQL,
    SEQL,
    BalancedSoftmax,
    ClassWeightedSigmoidCE,
    ClassWeightedSoftmaxCE,
    EQLv2,
    InputError,
    SeesawLoss,
    SigmoidCE,
    SoftmaxCE,
    SoftmaxEQL,
)
from eql_d2.losses.softmax_eql import gradient_margins, neutral_margin
from tests.losses.test_parity import relative_difference
from tests.losses.trajectory import follow
from tests.reference.softmax_eql import ReferenceSoftmaxEQL

C = 6
BY_SAMPLES = [BalancedSoftmax, ECM, ClassWeightedSoftmaxCE, ClassWeightedSigmoidCE]
TAIL_LOSSES = [SoftmaxEQL, SoftmaxCE, EQLv2, SigmoidCE, EQL, SEQL, BalancedSoftmax, SeesawLoss]


def batch(rows=50, columns=C, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(rows, columns, generator=generator, dtype=dtype)
    return logits.requires_grad_(), torch.randint(columns, (rows,), generator=generator)


def with_gradients(pos_grad, neg_grad=None, **kwargs):
    loss = SoftmaxEQL(len(pos_grad), **kwargs)
    loss.statistics.pos_grad += torch.tensor(pos_grad, dtype=torch.float64)
    if neg_grad is not None:
        loss.statistics.neg_grad += torch.tensor(neg_grad, dtype=torch.float64)
    return loss


def value_and_gradient(loss, logits, targets, **kwargs):
    value = loss(logits, targets, **kwargs)
    return value, *torch.autograd.grad(value, logits)


def build(loss_class):
    if loss_class in (EQL, SEQL):
        return loss_class(C, torch.tensor([0.5, 0.2, 1e-5, 0.3, 1e-5, 0.1]))
    if loss_class in BY_SAMPLES:
        return loss_class(C, torch.tensor([400, 80, 20, 5, 1, 1]))
    return loss_class(C)


@pytest.mark.parametrize("columns", [C, C + 1])
@pytest.mark.parametrize(
    ("pos_grad", "tau"), [([5.0, 1, 0.2, 0.01, 3, 0], 0.0), ([0.7] * C, 1.0), ([0.7] * C, 0.5)]
)
def test_without_tau_or_with_equal_gradients_it_is_cross_entropy(columns, pos_grad, tau):
    logits, targets = batch(columns=columns, dtype=torch.float64)
    value, gradient = value_and_gradient(with_gradients(pos_grad, tau=tau), logits, targets)
    expected, expected_gradient = value_and_gradient(F.cross_entropy, logits, targets)
    torch.testing.assert_close(value, expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-10, atol=1e-15)


def test_first_step_is_cross_entropy():
    torch.testing.assert_close(SoftmaxEQL(C)(*batch()), F.cross_entropy(*batch()))


def test_it_is_logit_adjustment_by_the_accumulated_positive_gradient():
    pos_grad, tau = [5.0, 1, 0.2, 0.01, 3, 2], 0.8
    logits, targets = batch(dtype=torch.float64)
    prior = tau * torch.tensor(pos_grad, dtype=torch.float64).log()
    torch.testing.assert_close(
        value_and_gradient(with_gradients(pos_grad, tau=tau), logits, targets),
        value_and_gradient(lambda z, y: F.cross_entropy(z + prior, y), logits, targets),
    )


def test_a_class_with_more_positive_gradient_must_be_beaten_by_more():
    logits, targets = torch.zeros(1, C), torch.tensor([0])
    values = [
        float(with_gradients([1.0, other, 1, 1, 1, 1])(logits, targets))
        for other in (0.01, 0.1, 1, 10, 100)
    ]
    assert values == sorted(values) and values[0] < values[2] < values[4]


def test_t6_pos_and_neg_adds_the_gradients_not_the_ratio():
    pos, neg = [4.0, 1, 2, 3, 1, 1], [1.0, 5, 2, 8, 1, 0]
    both = [p + n for p, n in zip(pos, neg)]
    expected = with_gradients(both)(*batch())
    torch.testing.assert_close(
        with_gradients(pos, neg, indicator="pos_and_neg")(*batch()), expected
    )
    torch.testing.assert_close(
        with_gradients(pos, neg, indicator="neg")(*batch()),
        with_gradients([max(n, 1e-4) for n in neg])(*batch()),
    )


@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize("kwargs", [{}, {"tau": 0.5, "indicator": "pos_and_neg"}])
def test_200_steps_equal_the_reference(background, kwargs):
    loss, num_columns = SoftmaxEQL(C, **kwargs), C + background
    reference = ReferenceSoftmaxEQL(C, background=background, **kwargs)
    worst, _ = follow(loss, reference, num_columns)
    assert worst <= 1e-5
    assert relative_difference(loss.statistics.pos_grad, reference.pos_grad) <= 1e-5
    assert relative_difference(loss.statistics.neg_grad, reference.neg_grad) <= 1e-5


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_logits_of_200_stay_finite(dtype):
    logits = torch.tensor([[200.0, -200, 0, 0, 0, 0], [-200, 200, 200, 0, 0, 0]], dtype=dtype)
    logits.requires_grad_()
    loss = with_gradients([100.0, 0, 1e-3, 1, 1, 1])
    value, gradient = value_and_gradient(loss, logits, torch.tensor([1, 0]))
    assert value.isfinite() and gradient.isfinite().all() and gradient.dtype == dtype
    assert loss.statistics.neg_grad.isfinite().all() and loss.statistics.pos_grad[1] > 0.49


@pytest.mark.parametrize("loss_class", TAIL_LOSSES)
def test_maps_equal_rows(loss_class):
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(2, C, 5, 7, generator=generator, requires_grad=True)
    targets = torch.randint(-1, C, (2, 5, 7), generator=generator)
    rows = maps.detach().permute(0, 2, 3, 1).flatten(0, 2).requires_grad_()
    of_maps, of_rows = build(loss_class), build(loss_class)
    if loss_class is SEQL:  # draws anew for each entry
        of_maps.gamma = of_rows.gamma = 1.0
    for _ in range(2):
        value, gradient = value_and_gradient(of_maps, maps, targets)
        expected, expected_gradient = value_and_gradient(of_rows, rows, targets.flatten())
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(gradient.permute(0, 2, 3, 1).flatten(0, 2), expected_gradient)
    torch.testing.assert_close(of_maps.state_dict(), of_rows.state_dict(), rtol=1e-6, atol=0)
    scores = of_maps.scores(maps).permute(0, 2, 3, 1).flatten(0, 2)
    torch.testing.assert_close(scores, of_rows.scores(rows))


@pytest.mark.parametrize("loss_class", TAIL_LOSSES)
def test_ignored_pixels_cost_nothing_and_count_nothing(loss_class):
    logits, targets = torch.randn(1, C, 4, 4), torch.full((1, 4, 4), -1)
    logits[0, 0, 0, 0] = 300.0
    targets[0, 1:, :] = torch.randint(C, (3, 4))
    logits.requires_grad_()
    loss, cropped = build(loss_class), build(loss_class)
    if loss_class is SEQL:
        loss.gamma = cropped.gamma = 1.0
    value, gradient = value_and_gradient(loss, logits, targets)
    torch.testing.assert_close(value, cropped(logits[:, :, 1:], targets[:, 1:]))
    assert gradient[:, :, 0].abs().sum() == 0
    torch.testing.assert_close(loss.state_dict(), cropped.state_dict(), rtol=1e-6, atol=0)


@pytest.mark.parametrize("loss_class", TAIL_LOSSES)
@pytest.mark.parametrize("rows", [0, 4])
def test_batch_without_a_label_has_zero_loss_and_gradient(loss_class, rows):
    logits, targets = torch.randn(rows, C, requires_grad=True), torch.full((rows,), -1)
    value, gradient = value_and_gradient(build(loss_class), logits, targets)
    assert value == 0 and gradient.abs().sum() == 0


@pytest.mark.parametrize("loss_class", [SoftmaxEQL, SoftmaxCE, BalancedSoftmax])
def test_one_hot_soft_labels_are_labels(loss_class):
    logits, targets = batch()
    hard, soft = build(loss_class), build(loss_class)
    for _ in range(3):
        expected = value_and_gradient(hard, logits, targets)
        result = value_and_gradient(soft, logits, F.one_hot(targets, C).float())
    torch.testing.assert_close(result, expected)
    torch.testing.assert_close(soft.state_dict(), hard.state_dict())


def test_mixed_labels_weigh_the_statistics():
    logits, targets = batch(dtype=torch.float64)
    y = 0.7 * F.one_hot(targets, C).double() + 0.3 * F.one_hot(targets.roll(1), C)
    loss = with_gradients([5.0, 1, 0.2, 0.01, 3, 2])
    margins = loss.statistics.pos_grad.log()
    before = loss.statistics.pos_grad.clone()
    value, gradient = value_and_gradient(loss, logits, y)
    expected = F.cross_entropy(logits + margins, y)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, logits)[0])
    torch.testing.assert_close(loss.statistics.pos_grad - before, (gradient.abs() * y).sum(0))


def test_background_keeps_the_odds_of_the_foreground():
    """For a sample whose class is as likely as in training, whatever tau."""
    gradient = torch.tensor([8.0, 3, 0.5, 0.01], dtype=torch.float64)
    for tau in (0.0, 0.5, 1.0, 1.5):
        margins = gradient_margins(gradient, tau, 1e-4)
        foreground = (gradient / gradient.sum() * torch.exp(-margins)).sum()
        torch.testing.assert_close(
            foreground[None], torch.exp(-neutral_margin(gradient, tau, 1e-4))
        )
    torch.testing.assert_close(neutral_margin(gradient, 1.0, 1e-4), gradient.mean().log()[None])


def test_background_rows_are_negatives_of_all_classes_without_statistics_of_their_own():
    loss = SoftmaxEQL(C)
    loss(torch.zeros(10, C + 1), torch.full((10,), C))
    assert loss.statistics.pos_grad.sum() == 0 and loss.statistics.pos_grad.shape == (C,)
    torch.testing.assert_close(loss.statistics.neg_grad, torch.full((C,), 1 / (C + 1)).double())


def test_statistics_are_kept_in_training_only():
    loss = SoftmaxEQL(C)
    with torch.no_grad():
        loss(*batch())
    loss.eval()
    loss(*batch())
    assert loss.statistics.neg_grad.sum() == 0


@pytest.mark.parametrize(
    "kwargs", [{"tau": -1.0}, {"indicator": "ratio"}, {"eps": 0.0}, {"num_classes": 0}]
)
def test_bad_arguments_are_named(kwargs):
    name, value = next(iter(kwargs.items()))
    with pytest.raises(InputError, match=name) as error:
        SoftmaxEQL(**{"num_classes": C, **kwargs})
    assert str(value) in str(error.value) and "\n" not in str(error.value)


def test_t9_every_argument_changes_something():
    pos = [4.0, 0, 2, 3, 1, 1]
    plain = with_gradients(pos, [1.0] * C)(*batch())
    for changed in ({"tau": 0.5}, {"indicator": "neg"}, {"eps": 0.1}):
        assert with_gradients(pos, [1.0] * C, **changed)(*batch()) != plain


@pytest.mark.parametrize("loss_class", [EQLv2, SigmoidCE, EQL, SEQL, SeesawLoss])
def test_soft_labels_are_refused_by_losses_without_them(loss_class):
    logits, targets = batch()
    with pytest.raises(InputError, match="give labels of shape"):
        build(loss_class)(logits, F.one_hot(targets, C).float())

"""NorCal and post-hoc logit adjustment against loops over the formulas."""

import math

import pytest
import torch

from eql_d2 import EQLv2, LogitAdjustment, NorCal, SeesawLoss, SoftmaxCE, calibrate
from tests.losses.calibrated import COUNT, SIGMOID, SOFTMAX, C, batch, build, calibrated_scores


@pytest.mark.parametrize("columns", [C, C + 1])
@pytest.mark.parametrize("loss_class", SOFTMAX)
def test_norcal_divides_the_foreground_of_a_softmax_and_normalises(loss_class, columns):
    loss, logits = calibrate(build(loss_class), NorCal(C, COUNT, gamma=0.6)), batch(columns)
    found = calibrated_scores(loss, logits)
    for row, probs in zip(found.tolist(), logits.softmax(1).tolist()):
        weighted = [p / n**0.6 for p, n in zip(probs[:C], COUNT.tolist())]
        total = sum(weighted) + sum(probs[C:])
        assert row == pytest.approx([w / total for w in weighted], rel=1e-9)


@pytest.mark.parametrize("columns", [C, C + 1])
@pytest.mark.parametrize("loss_class", SIGMOID)
def test_norcal_weighs_a_sigmoid_against_its_negation(loss_class, columns):
    """EQL v2 multiplies by its category-agnostic task as it is without calibration."""
    loss, logits = calibrate(build(loss_class), NorCal(C, COUNT, gamma=0.6)), batch(columns)
    found = calibrated_scores(loss, logits)
    for row, probs in zip(found.tolist(), logits.sigmoid().tolist()):
        weighted = [p / n**0.6 for p, n in zip(probs[:C], COUNT.tolist())]
        expected = [w / (w + 1 - p) for w, p in zip(weighted, probs)]
        if loss_class is EQLv2 and columns > C:
            expected = [p * (1 - probs[C]) for p in expected]
        assert row == pytest.approx(expected, rel=1e-9)


def test_norcal_leaves_the_objectness_of_seesaw_alone():
    """Which is not the paper's formula, as its documentation says."""
    loss, logits = calibrate(SeesawLoss(C), NorCal(C, COUNT, gamma=0.6)), batch()
    weighted = logits[:, :C].softmax(1) / COUNT.double() ** 0.6
    expected = weighted / weighted.sum(1, keepdim=True)
    objectness = loss.scores(logits).sum(1, keepdim=True)
    found = calibrated_scores(loss, logits)
    torch.testing.assert_close(found, expected * objectness)
    of_the_paper = weighted * objectness
    of_the_paper = of_the_paper / (of_the_paper.sum(1, keepdim=True) + 1 - objectness)
    assert (found - of_the_paper).abs().max() > 0.1


@pytest.mark.parametrize("tau", [0.5, 1.0, 1.5])
@pytest.mark.parametrize("columns", [C, C + 1])
@pytest.mark.parametrize("loss_class", SOFTMAX)
def test_logit_adjustment_is_a_softmax_of_adjusted_logits(loss_class, columns, tau):
    loss, logits = calibrate(build(loss_class), LogitAdjustment(C, COUNT, tau)), batch(columns)
    found = calibrated_scores(loss, logits)
    count = COUNT.tolist()
    neutral = math.log(sum(count)) - math.log(sum(n ** (1 - tau) for n in count))
    margins = [*(tau * math.log(n) for n in count), neutral]
    for row, z in zip(found.tolist(), logits.tolist()):
        powers = [math.exp(z_k - m) for z_k, m in zip(z, margins)]
        assert row == pytest.approx([p / sum(powers) for p in powers[:C]], rel=1e-9)


@pytest.mark.parametrize("tau", [0.5, 1.0, 1.5])
def test_logit_adjustment_keeps_the_background_of_an_average_row(tau):
    """One whose classes are as likely as in the training data."""
    foreground = 0.3 * COUNT.double() / COUNT.sum()
    logits = torch.cat([foreground, torch.tensor([0.7])]).log()[None]
    loss = calibrate(SoftmaxCE(C), LogitAdjustment(C, COUNT, tau))
    assert calibrated_scores(loss, logits).sum().item() == pytest.approx(0.3)


def test_only_the_shares_matter_to_logit_adjustment_but_norcal_takes_counts_literally():
    logits = batch()

    def scores(calibration):
        return calibrated_scores(calibrate(SoftmaxCE(C), calibration), logits)

    torch.testing.assert_close(
        scores(LogitAdjustment(C, 10 * COUNT)), scores(LogitAdjustment(C, COUNT))
    )
    small, large = scores(NorCal(C, COUNT, 0.5)), scores(NorCal(C, 100 * COUNT, 0.5))
    torch.testing.assert_close(large / large.sum(1, keepdim=True), small / small.sum(1, True))
    background_odds = [(1 - p.sum(1)) / p.sum(1) for p in (small, large)]
    torch.testing.assert_close(background_odds[1], 10 * background_odds[0])


@pytest.mark.parametrize("gamma", [0.25, 1.0])
@pytest.mark.parametrize("loss_class", [*SOFTMAX, *SIGMOID, SeesawLoss])
def test_norcal_lifts_rare_classes_against_frequent_ones(loss_class, gamma):
    loss, logits = build(loss_class), batch()
    logits[:, :C] = logits[:, :1]
    before = loss.scores(logits)
    after = calibrated_scores(calibrate(loss, NorCal(C, COUNT, gamma)), logits)
    torch.testing.assert_close(before, before[:, :1].expand(-1, C))
    assert (after.diff(dim=1) > 0).all()
    if loss_class is not SeesawLoss:  # it has no background among the classes
        assert (after.sum(1) < before.sum(1)).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("columns", [C, C + 1])
@pytest.mark.parametrize(
    "loss_class, calibration",
    [
        *((loss_class, NorCal(C, COUNT, 0)) for loss_class in (*SOFTMAX, *SIGMOID, SeesawLoss)),
        *((loss_class, LogitAdjustment(C, COUNT, 0)) for loss_class in SOFTMAX),
    ],
)
def test_a_strength_of_zero_changes_no_bit(loss_class, calibration, columns, dtype):
    loss, logits = build(loss_class), batch(columns).to(dtype)
    logits[0] = torch.tensor(-0.0)
    expected = loss.scores(logits)
    found = calibrated_scores(calibrate(loss, calibration), logits)
    calibrated = loss.calibration(logits)
    assert calibrated.dtype == found.dtype == expected.dtype
    assert torch.equal(calibrated, logits.to(expected.dtype))
    assert torch.equal(calibrated.signbit(), logits.signbit())
    if logits.dtype == expected.dtype:
        assert torch.equal(found, expected)
    # Of half precision a sigmoid of a part of the columns may be vectorised in another way.
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("calibration_class", [NorCal, LogitAdjustment])
def test_half_precision_is_calibrated_in_float32(calibration_class, dtype):
    """Also by a model in half precision, where a count of 100,000 is no number."""
    count = torch.tensor([100_003.0, 1000, 40, 7, 1])
    loss, logits = calibrate(SoftmaxCE(C), calibration_class(C, count)), batch().to(dtype)
    expected = calibrated_scores(loss, logits.float())
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(calibrated_scores(loss, logits), expected)
    assert torch.equal(calibrated_scores(loss.to(dtype), logits), expected)


@pytest.mark.parametrize("loss_class", [SoftmaxCE, EQLv2])
def test_maps_equal_rows(loss_class):
    loss = calibrate(build(loss_class), NorCal(C, COUNT))
    maps = torch.randn(2, C, 3, 4, generator=torch.Generator().manual_seed(0))
    rows = maps.permute(0, 2, 3, 1).flatten(0, 2)
    scores = calibrated_scores(loss, maps).permute(0, 2, 3, 1).flatten(0, 2)
    torch.testing.assert_close(scores, calibrated_scores(loss, rows))


@pytest.mark.parametrize("loss_class", [SoftmaxCE, EQLv2, SeesawLoss])
def test_training_and_checkpoints_do_not_know_of_it(loss_class):
    plain, loss = build(loss_class), calibrate(build(loss_class), NorCal(C, COUNT))
    assert list(loss.state_dict()) == list(plain.state_dict())
    targets = torch.arange(20) % (C + 1)
    for _ in range(2):
        logits = batch(dtype=torch.float32).requires_grad_()
        values = [one(logits, targets) for one in (plain, loss)]
        assert torch.equal(*values)
        assert torch.equal(*(torch.autograd.grad(value, logits)[0] for value in values))
    torch.testing.assert_close(loss.state_dict(), plain.state_dict(), rtol=0, atol=0)
    loss.load_state_dict(plain.state_dict())  # strict
    assert loss.calibration.class_count.tolist() == COUNT.tolist()

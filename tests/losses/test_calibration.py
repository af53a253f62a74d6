"""NorCal and post-hoc logit adjustment against loops over the formulas."""

import math

import pytest
import torch
from detectron2.config import LazyCall as L
from detectron2.config import get_cfg, instantiate

from eql_d2 import (
    EFL,
    EQL,
    SEQL,
    BalancedSoftmax,
    EQLv2,
    FocalLoss,
    InputError,
    LogitAdjustment,
    NorCal,
    SeesawLoss,
    SigmoidCE,
    SoftmaxCE,
    SoftmaxEQL,
    add_eql_config,
    calibrate,
)
from eql_d2.losses import build_calibration
from tests.test_contributing import ToyLoss

C = 5
COUNT = torch.tensor([1000.0, 120, 40, 7, 1])
FREQUENCY = torch.tensor([0.5, 0.2, 1e-5, 0.3, 1e-5])
SOFTMAX = [SoftmaxCE, SEQL, SoftmaxEQL, BalancedSoftmax]
SIGMOID = [SigmoidCE, EQL, EQLv2]


def build(loss_class):
    if loss_class in (EQL, SEQL):
        return loss_class(C, FREQUENCY)
    return loss_class(C, COUNT) if loss_class is BalancedSoftmax else loss_class(C)


def batch(columns=C + 1, rows=20, dtype=torch.float64):
    generator = torch.Generator().manual_seed(columns)
    return 3 * torch.randn(rows, columns, generator=generator, dtype=dtype)


def calibrated_scores(loss, logits):
    return loss.scores(loss.calibration(logits))


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
    loss, logits = calibrate(SeesawLoss(C), NorCal(C, COUNT, gamma=0.6)), batch()
    weighted = logits[:, :C].softmax(1) / COUNT.double() ** 0.6
    expected = weighted / weighted.sum(1, keepdim=True)
    objectness = loss.scores(logits).sum(1, keepdim=True)
    torch.testing.assert_close(calibrated_scores(loss, logits), expected * objectness)


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


@pytest.mark.parametrize("loss_class", [SoftmaxEQL, EQLv2])
def test_maps_equal_rows(loss_class):
    loss = calibrate(build(loss_class), NorCal(C, COUNT))
    maps = torch.randn(2, C, 3, 4, generator=torch.Generator().manual_seed(0))
    rows = maps.permute(0, 2, 3, 1).flatten(0, 2)
    scores = calibrated_scores(loss, maps).permute(0, 2, 3, 1).flatten(0, 2)
    torch.testing.assert_close(scores, calibrated_scores(loss, rows))


@pytest.mark.parametrize("loss_class", [SoftmaxEQL, EQLv2, SeesawLoss])
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


def test_counts_are_asked_for_once_and_not_at_the_first_scores():
    """In a distributed evaluation that would be a collective which ranks without images miss."""
    asked = []
    calibration = NorCal(C, lambda: asked.append(True) or COUNT)
    loss = calibrate(SoftmaxCE(C), calibration)
    message = r"^NorCal has no class counts yet: call its prepare\(\) before the first"
    with pytest.raises(InputError, match=message):
        calibrated_scores(loss, batch())
    assert not asked
    calibration.prepare()
    calibration.prepare()
    expected = calibrated_scores(calibrate(SoftmaxCE(C), NorCal(C, COUNT)), batch())
    assert torch.equal(calibrated_scores(loss, batch()), expected) and len(asked) == 1


@pytest.mark.parametrize("loss_class", [FocalLoss, EFL, ToyLoss])
@pytest.mark.parametrize("calibration_class", [NorCal, LogitAdjustment])
def test_dense_losses_and_scores_of_another_kind_are_refused(calibration_class, loss_class):
    name = calibration_class.__name__
    message = f"^{name} cannot calibrate {loss_class.__name__}: .*NAME to another or to ''$"
    with pytest.raises(InputError, match=message) as error:
        calibrate(loss_class(C), calibration_class(C, COUNT))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("loss_class", [*SIGMOID, SeesawLoss])
def test_logit_adjustment_refuses_what_is_not_one_softmax(loss_class):
    message = f"^LogitAdjustment cannot calibrate {loss_class.__name__}: .* one softmax"
    with pytest.raises(InputError, match=message):
        calibrate(build(loss_class), LogitAdjustment(C, COUNT))


def test_another_number_of_classes_is_refused():
    with pytest.raises(InputError, match="^NorCal is for 4 classes but SoftmaxCE for 5: set both"):
        calibrate(SoftmaxCE(C), NorCal(4, COUNT[:4]))
    with pytest.raises(InputError, match=r"^class_count of NorCal has shape \(5,\): with 4 "):
        NorCal(4, COUNT)


@pytest.mark.parametrize("calibration_class", [NorCal, LogitAdjustment])
@pytest.mark.parametrize("value", [0.0, 0.25, 1.5, -3.0, math.nan, math.inf])
def test_counts_that_are_none_are_refused(calibration_class, value):
    count = COUNT.clone()
    count[2:4] = value
    name = calibration_class.__name__
    message = rf"^class_count of {name} is {value:g} for class 2 \(2 such in all\): "
    for late in (False, True):
        with pytest.raises(InputError, match=message) as error:
            calibration_class(C, (lambda: count) if late else count).prepare()
        assert "\n" not in str(error.value)


def test_negative_strengths_are_refused():
    with pytest.raises(InputError, match="^gamma of NorCal is -0.5: it must not be negative"):
        NorCal(C, COUNT, gamma=-0.5)
    with pytest.raises(InputError, match="^tau of LogitAdjustment is -1: it must not be negative"):
        LogitAdjustment(C, COUNT, tau=-1)


def test_the_config_has_the_name_and_the_strengths():
    cfg = get_cfg()
    add_eql_config(cfg)
    node = cfg.MODEL.EQL.CALIBRATION
    node.update(GAMMA=0.7, TAU=0.8)
    for node.NAME, expected in (("NorCal", "gamma=0.7"), ("LogitAdjustment", "tau=0.8")):
        calibration = build_calibration(cfg, C, lambda: COUNT)
        assert repr(calibration) == f"{node.NAME}(num_classes=5, {expected})"
    node.NAME = "Norcal"
    with pytest.raises(InputError, match="CALIBRATION.NAME is 'Norcal': choose NorCal, LogitAdj"):
        build_calibration(cfg, C, lambda: COUNT)


def test_a_lazy_config_calibrates_its_loss():
    lazy = L(calibrate)(
        loss=L(EQLv2)(num_classes=C),
        calibration=L(NorCal)(num_classes=C, class_count=L(torch.tensor)(data=[9, 7, 5, 3, 1])),
    )
    loss = instantiate(lazy)
    assert isinstance(loss, EQLv2) and loss.calibration.class_count.tolist() == [9, 7, 5, 3, 1]

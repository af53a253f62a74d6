"""FRACAL's margins against the formula, and what its two parts bring."""

import math

import pytest
import torch
from detectron2.config import LazyCall as L
from detectron2.config import instantiate

from eql_d2 import FRACAL, InputError, SoftmaxCE, calibrate
from tests.losses.calibrated import C, batch, calibrated_scores

FREQUENCY = torch.tensor([0.5, 0.2, 0.03, 1e-3, 1e-5])
DIMENSION = torch.tensor([1.98, 1.2, 1.85, 1.6, 1.0])


@pytest.mark.parametrize("beta, strength", [(10.0, 2.0), (math.e, 0.0), (2.0, 1.0)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_scores_equal_the_formula(beta, strength, dtype):
    """Written as probabilities, divided and renormalised, as the official code does."""
    logits = batch(dtype=dtype)
    loss = calibrate(SoftmaxCE(C), FRACAL(C, FREQUENCY, DIMENSION, beta, strength))
    found = calibrated_scores(loss, logits)
    for row, z in zip(found.tolist(), logits.tolist()):
        shifts = [-math.log(f, beta) - math.log(C, beta) for f in FREQUENCY.tolist()]
        powers = [math.exp(value + shift) for value, shift in zip(z, [*shifts, 0.0])]
        places = [phi**strength for phi in DIMENSION.tolist()]
        shares = [p / sum(powers) / phi for p, phi in zip(powers, [*places, 1.0])]
        expected = [share / sum(shares) for share in shares[:C]]
        assert row == pytest.approx(expected, rel=1e-6, abs=1e-6 if dtype == torch.float32 else 0)


def test_the_defaults_are_those_of_the_official_config_for_lvis():
    assert repr(FRACAL(C, FREQUENCY, DIMENSION)) == "FRACAL(num_classes=5, beta=10.0, lambda_=2.0)"


def test_a_class_of_a_share_of_one_in_c_and_on_a_line_stays():
    logits = batch()
    calibration = FRACAL(C, torch.full((C,), 1 / C), torch.ones(C))
    torch.testing.assert_close(calibration(logits), logits, rtol=0, atol=1e-6)


def test_a_lazy_config_has_it_and_gets_its_data_late():
    lazy = L(calibrate)(
        loss=L(SoftmaxCE)(num_classes=C),
        calibration=L(FRACAL)(
            num_classes=C, image_frequency=lambda: FREQUENCY, fractal_dimension=lambda: DIMENSION
        ),
    )
    loss = instantiate(lazy)
    with pytest.raises(InputError, match=r"^FRACAL has no image_frequency yet: call its prepare"):
        calibrated_scores(loss, batch())
    loss.calibration.prepare()
    expected = calibrated_scores(calibrate(SoftmaxCE(C), FRACAL(C, FREQUENCY, DIMENSION)), batch())
    assert torch.equal(calibrated_scores(loss, batch()), expected) and not loss.state_dict()


def test_wrong_arguments_get_one_line():
    for arguments, message in (
        ((FREQUENCY.round(), DIMENSION), r"^image_frequency of FRACAL is 0 for class 0 \(5 such"),
        ((FREQUENCY * 3, DIMENSION), "^image_frequency of FRACAL is 1.5 for class 0 .* a share"),
        ((FREQUENCY, DIMENSION - 0.1), r"^fractal_dimension of FRACAL is 0.9 for class 4 \(1 such"),
        (
            (FREQUENCY[1:], DIMENSION),
            r"^image_frequency of FRACAL has shape \(4,\): with 5 classes",
        ),
        ((FREQUENCY, DIMENSION, 1), "^beta of FRACAL is 1: it is the base of a logarithm, give 10"),
        ((FREQUENCY, DIMENSION, 10, -1), "^lambda of FRACAL is -1: it must not be negative"),
    ):
        with pytest.raises(InputError, match=message) as error:
            FRACAL(C, *arguments)
        assert "\n" not in str(error.value)

"""What calibration asks for, refuses, and reads of a config."""

import math

import pytest
import torch
from detectron2.config import LazyCall as L
from detectron2.config import get_cfg, instantiate

from eql_d2 import (
    EFL,
    FRACAL,
    EQLv2,
    FocalLoss,
    InputError,
    LogitAdjustment,
    NorCal,
    SeesawLoss,
    SoftmaxCE,
    add_eql_config,
    calibrate,
)
from eql_d2.losses import build_calibration
from tests.losses.calibrated import (
    COUNT,
    FREQUENCY,
    SIGMOID,
    WITH_MARGINS,
    C,
    batch,
    build,
    calibrated_scores,
)
from tests.test_contributing import ToyLoss


def test_counts_are_asked_for_once_and_not_at_the_first_scores():
    """In a distributed evaluation that would be a collective which ranks without images miss."""
    asked = []
    calibration = NorCal(C, lambda: asked.append(True) or COUNT)
    loss = calibrate(SoftmaxCE(C), calibration)
    message = r"^NorCal has no class_count yet: call its prepare\(\) before the first"
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


def fracal(num_classes, _):
    return FRACAL(num_classes, FREQUENCY[:num_classes], torch.ones(num_classes))


@pytest.mark.parametrize("calibration", [LogitAdjustment, fracal])
@pytest.mark.parametrize("loss_class", [*SIGMOID, SeesawLoss])
def test_what_is_not_one_softmax_is_refused_by_those_for_softmaxes(calibration, loss_class):
    message = f"^[a-zA-Z]* cannot calibrate {loss_class.__name__}: .* one softmax"
    with pytest.raises(InputError, match=message):
        calibrate(build(loss_class), calibration(C, COUNT))


@pytest.mark.parametrize("calibration", [NorCal, LogitAdjustment, fracal])
@pytest.mark.parametrize("loss_class", WITH_MARGINS)
def test_losses_with_margins_in_training_are_refused(calibration, loss_class):
    """Their scores have been corrected for the sizes of the classes."""
    message = f" cannot calibrate {loss_class.__name__}, whose margins .* count twice: set MODEL.EQ"
    with pytest.raises(InputError, match=message) as error:
        calibrate(build(loss_class), calibration(C, COUNT))
    assert "\n" not in str(error.value)


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
    node.update(GAMMA=0.7, TAU=0.8, BETA=2.0, LAMBDA=1.0)
    for node.NAME, expected in (
        ("NorCal", "gamma=0.7"),
        ("LogitAdjustment", "tau=0.8"),
        ("FRACAL", "beta=2.0, lambda_=1.0"),
    ):
        calibration = build_calibration(cfg, C, lambda: COUNT, lambda: FREQUENCY, lambda: COUNT)
        assert repr(calibration) == f"{node.NAME}(num_classes=5, {expected})"
    node.NAME = "Norcal"
    with pytest.raises(InputError, match="CALIBRATION.NAME is 'Norcal': choose NorCal, LogitAdj"):
        build_calibration(cfg, C, *[lambda: COUNT] * 3)


def test_a_lazy_config_calibrates_its_loss():
    lazy = L(calibrate)(
        loss=L(EQLv2)(num_classes=C),
        calibration=L(NorCal)(num_classes=C, class_count=L(torch.tensor)(data=[9, 7, 5, 3, 1])),
    )
    loss = instantiate(lazy)
    assert isinstance(loss, EQLv2) and loss.calibration.class_count.tolist() == [9, 7, 5, 3, 1]

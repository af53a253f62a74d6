"""Logits that are not finite or enormous, and labels that no class has."""

import pytest
import torch

from eql_d2 import EFL, EQFL, FocalLoss, InputError
from tests.losses.test_contract import LOSSES, C, batch, build, call

DENSE = [FocalLoss, EFL, EQFL]
LAYOUTS = [(cls, columns) for cls in LOSSES for columns in sorted({C, build(cls).num_logits})]


def step(loss, logits, targets):
    """Loss and gradient."""
    leaf = logits.clone().requires_grad_()
    value = call(loss, leaf, targets)
    value.backward()
    return value.detach(), leaf.grad


@pytest.mark.parametrize("content", [float("nan"), float("inf"), -float("inf"), 1e38])
@pytest.mark.parametrize("loss_class, columns", LAYOUTS)
def test_ignored_rows_can_hold_anything(loss_class, columns, content):
    logits, targets = batch()
    logits = torch.cat([logits, logits[:, : columns - C]], dim=1)
    targets[3] = C if columns > C or loss_class in DENSE else 0
    targets[7::20] = -1
    anything = logits.clone()
    anything[targets < 0] = content
    found, expected = build(loss_class), build(loss_class)
    for loss in (found, expected):
        loss.monitor()
    for _ in range(2):  # the second has weights of the first
        value, gradient = step(found, anything, targets)
        expected_value, expected_gradient = step(expected, logits, targets)
        assert torch.equal(value, expected_value) and torch.equal(gradient, expected_gradient)
        assert not gradient[targets < 0].any()
    torch.testing.assert_close(found.state_dict(), expected.state_dict(), rtol=0, atol=0)
    assert found.statistics.pos_grad.sum() > 0


@pytest.mark.parametrize("loss_class", DENSE)
def test_ignored_anchors_of_a_map_can_hold_anything(loss_class):
    """Two anchors a position, in the layout of a head."""
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(2, 2 * C, 3, 4, generator=generator)
    targets = torch.randint(-1, C + 1, (2, 24), generator=generator)
    ignored = (targets < 0).view(2, 3, 4, 2, 1).expand(-1, -1, -1, -1, C)
    ignored = ignored.permute(0, 3, 4, 1, 2).reshape(maps.shape)
    results = []
    for logits in (maps, maps.masked_fill(ignored, float("nan"))):
        leaf = logits.clone().requires_grad_()
        quality = {"quality": torch.full((2, 24), 0.7)} if loss_class is EQFL else {}
        value = build(loss_class)([leaf], targets, **quality)
        value.backward()
        results.append((value.detach(), leaf.grad))
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=0)
    assert ignored.any() and not results[0][1][ignored].any()


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("loss_class", LOSSES)
def test_an_enormous_row_has_a_finite_gradient_and_leaves_the_others_theirs(loss_class, sign):
    logits, targets = batch()
    _, expected = step(build(loss_class), logits, targets)
    logits[7] = sign * 1e38
    _, gradient = step(build(loss_class), logits, targets)
    assert gradient.isfinite().all()
    others = torch.arange(50) != 7
    torch.testing.assert_close(gradient[others], expected[others], rtol=1e-6, atol=0)


def test_the_gradient_of_a_sure_negative_is_its_limit():
    """w (p + x (1 - p)) is w for p = 1: with x of some thousands its rounding has been seen."""
    loss = EFL(C)
    for logit in (50.0, 1e4, 1e38):
        _, gradient = step(loss, torch.full((1, C), logit), torch.tensor([C]))
        torch.testing.assert_close(gradient, torch.full((1, C), 0.75), rtol=1e-4, atol=0)
        loss.reset_statistics()


@pytest.mark.parametrize("excess", [0, 3])
@pytest.mark.parametrize("loss_class, columns", LAYOUTS)
def test_targets_above_the_classes_are_refused(loss_class, columns, excess):
    first_bad = C + 1 if loss_class in DENSE else columns
    logits, targets = batch()
    logits = torch.cat([logits, logits[:, : columns - C]], dim=1)
    loss = build(loss_class)
    targets[9] = first_bad - 1
    call(loss, logits, targets)
    targets[9] = first_bad + excess
    before = {name: value.clone() for name, value in loss.state_dict().items()}
    message = f"^{loss_class.__name__} got the target {first_bad + excess}: with {C} classes give 0"
    with pytest.raises(InputError, match=message) as error:
        call(loss, logits, targets)
    assert "\n" not in str(error.value)
    assert ("6 background" in str(error.value)) == (first_bad > C)
    torch.testing.assert_close(loss.state_dict(), before, rtol=0, atol=0)


@pytest.mark.parametrize("loss_class", DENSE)
def test_targets_above_the_classes_are_refused_of_maps_too(loss_class):
    maps, targets = torch.zeros(1, 2 * C, 1, 2), torch.tensor([[0, C, -1, C + 1]])
    quality = {"quality": torch.ones(1, 4)} if loss_class is EQFL else {}
    with pytest.raises(InputError, match=f"^{loss_class.__name__} got the target 7"):
        build(loss_class)([maps], targets, **quality)

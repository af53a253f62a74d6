"""A row of weight w counts as w rows: in the loss, its gradient, its mean and the statistics."""

import pytest
import torch
import torch.nn.functional as F

from eql_d2 import EFL, SEQL, InputError, SeesawLoss, SoftmaxCE
from tests.losses.test_contract import LOSSES, C, batch, build


def stepped(loss, logits, targets, **kwargs):
    """Value, gradient and state after a step."""
    logits = logits.clone().requires_grad_()
    if loss.uses_quality:
        kwargs["quality"] = (targets + 1) / 8
    value = loss(logits, targets, **kwargs)
    return value.detach(), *torch.autograd.grad(value, logits), dict(loss.state_dict())


def built(loss_class):
    # SEQL draws for each row.
    loss = build(loss_class, **({"gamma": 1.0} if loss_class is SEQL else {}))
    loss.monitor()
    return loss


def problem(loss):
    logits, targets = batch()
    if loss.num_logits > C:
        logits = torch.cat([logits, logits.flip(1)[:, :1]], 1)
    targets[::5], targets[1::7] = C, -1
    return logits, targets


@pytest.mark.parametrize("normalizer", [None, 7.0])
@pytest.mark.parametrize("loss_class", LOSSES)
def test_a_row_of_weight_2_is_two_rows_and_one_of_weight_0_is_none(loss_class, normalizer):
    weighted, repeated = built(loss_class), built(loss_class)
    logits, targets = problem(weighted)
    times = torch.arange(len(targets)) % 3
    index = torch.arange(len(targets)).repeat_interleave(times)
    for _ in range(2):
        value, gradient, state = stepped(
            weighted, logits, targets, normalizer=normalizer, row_weight=times.float()
        )
        expected, of_rows, expected_state = stepped(
            repeated, logits[index], targets[index], normalizer=normalizer
        )
        close = dict(rtol=1e-5, atol=1e-7)
        torch.testing.assert_close(value, expected, **close)
        of_rows = torch.zeros_like(gradient).index_add_(0, index, of_rows)
        torch.testing.assert_close(gradient, of_rows, **close)
        torch.testing.assert_close(state, expected_state, **close)


@pytest.mark.parametrize("loss_class", LOSSES)
def test_weights_of_1_change_nothing(loss_class):
    plain, weighted = built(loss_class), built(loss_class)
    logits, targets = problem(plain)
    expected = stepped(plain, logits, targets)
    found = stepped(weighted, logits, targets, row_weight=torch.ones(len(targets)))
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("loss_class", LOSSES)
def test_maps_are_rows(loss_class):
    by_maps, by_rows = built(loss_class), built(loss_class)
    logits, targets = problem(by_rows)
    weight = torch.linspace(0, 2, len(targets))
    as_maps = logits.view(2, 5, 5, -1).permute(0, 3, 1, 2), targets.view(2, 5, 5)
    value, gradient, state = stepped(by_maps, *as_maps, row_weight=weight.view(2, 5, 5))
    expected, of_rows, expected_state = stepped(by_rows, logits, targets, row_weight=weight)
    torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-7)
    gradient = gradient.permute(0, 2, 3, 1).reshape(of_rows.shape)
    torch.testing.assert_close(gradient, of_rows, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(state, expected_state, rtol=1e-5, atol=1e-7)


def test_the_levels_of_a_dense_head_have_weights_in_the_order_of_their_labels():
    by_levels, by_rows = EFL(C), EFL(C)
    generator = torch.Generator().manual_seed(0)
    levels = [torch.randn(2, 2 * C, side, side, generator=generator) for side in (3, 2)]
    targets = torch.randint(-1, C + 1, (2, 26), generator=generator)
    weight = torch.rand(2, 26, generator=generator)
    rows = [level.view(2, 2, C, -1).permute(0, 3, 1, 2).reshape(2, -1, C) for level in levels]
    value = by_levels(levels, targets, row_weight=weight)
    rows = torch.cat(rows, 1).flatten(0, 1)
    expected = by_rows(rows, targets.flatten(), row_weight=weight.flatten())
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(by_levels.state_dict(), by_rows.state_dict())


def test_the_background_of_mask2former_is_a_weight_of_rows():
    """Cross entropy with a weight of the class "no object", divided by the sum of the weights."""
    loss, (logits, targets) = SoftmaxCE(C), batch()
    logits = torch.cat([logits, logits[:, :1]], 1)
    targets[::2] = C
    weight = torch.tensor([1.0] * C + [0.1])
    found = loss(logits, targets, row_weight=weight[targets])
    torch.testing.assert_close(found, F.cross_entropy(logits, targets, weight))


@pytest.mark.parametrize("loss_class", LOSSES)
def test_other_weights_are_refused(loss_class):
    loss = built(loss_class)
    logits, targets = problem(loss)
    message = f"^{loss_class.__name__} got a row_weight of shape .3,.: it must be .50,.$"
    with pytest.raises(InputError, match=message):
        stepped(loss, logits, targets, row_weight=torch.ones(3))


def test_no_weight_at_all_is_a_loss_of_0():
    loss, (logits, targets) = SeesawLoss(C), batch()
    value, gradient, _ = stepped(loss, logits, targets, row_weight=torch.zeros(50))
    assert value == 0 and not gradient.any()

import pytest
import torch
import torch.nn.functional as F

from eql_d2.losses.functional import weighted_sigmoid_cross_entropy
from eql_d2.losses.functional.blocks import cut


def plain_form(logits, targets, pos_weight, neg_weight):
    y = F.one_hot(targets, logits.shape[1]).to(logits)
    weight = y * pos_weight + (1 - y) * neg_weight
    return F.binary_cross_entropy_with_logits(logits, y, weight, reduction="sum"), weight, y


def random_problem(rows=300, columns=40, scale=10.0):
    generator = torch.Generator().manual_seed(0)
    logits = scale * torch.randn(rows, columns, generator=generator, dtype=torch.float64)
    targets = torch.randint(columns, (rows,), generator=generator)
    weights = torch.rand(3, columns, generator=generator, dtype=torch.float64)
    return logits.requires_grad_(), targets, weights


def test_loss_gradient_and_column_sums_equal_autograd_in_float64():
    logits, targets, (pos_weight, neg_weight, _) = random_problem()
    expected, weight, y = plain_form(logits, targets, pos_weight, neg_weight)
    (expected_gradient,) = torch.autograd.grad(expected, logits)
    loss, pos_grad, neg_grad = weighted_sigmoid_cross_entropy(
        logits, targets, pos_weight, neg_weight
    )
    (gradient,) = torch.autograd.grad(loss, logits)
    torch.testing.assert_close(loss, expected, rtol=1e-11, atol=0)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-10, atol=1e-14)
    absolute = expected_gradient.abs()
    torch.testing.assert_close(pos_grad, (absolute * y).sum(0), rtol=1e-10, atol=0)
    torch.testing.assert_close(neg_grad, (absolute * (1 - y)).sum(0), rtol=1e-10, atol=0)


def test_groups_of_labels_choose_the_negative_weights():
    logits, targets, (pos_weight, *neg_weights) = random_problem()
    neg_weight, group = torch.stack(neg_weights), torch.arange(40) % 2
    expected, _, _ = plain_form(logits, targets, pos_weight, neg_weight[group[targets]])
    loss = weighted_sigmoid_cross_entropy(logits, targets, pos_weight, neg_weight, group).loss
    torch.testing.assert_close(loss, expected, rtol=1e-11, atol=0)
    torch.testing.assert_close(
        torch.autograd.grad(loss, logits), torch.autograd.grad(expected, logits)
    )


def test_blocks_do_not_show(monkeypatch):
    logits, targets, (pos_weight, neg_weight, _) = random_problem()
    whole = weighted_sigmoid_cross_entropy(logits, targets, pos_weight, neg_weight)
    monkeypatch.setitem(cut._ELEMENTS, "cpu", 2 * 7 * 40)
    in_blocks = weighted_sigmoid_cross_entropy(logits, targets, pos_weight, neg_weight)
    for a, b in zip(whole, in_blocks):
        torch.testing.assert_close(a, b)
    torch.testing.assert_close(*(torch.autograd.grad(r.loss, logits) for r in (whole, in_blocks)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_t5_extreme_logits_stay_finite(dtype):
    logits = torch.tensor([[200.0, -200.0, 0.0], [-200.0, 200.0, 0.0]], dtype=dtype)
    logits.requires_grad_()
    ones = torch.ones(3)
    loss, pos_grad, neg_grad = weighted_sigmoid_cross_entropy(
        logits, torch.tensor([1, 1]), ones, ones
    )
    loss.backward()
    assert loss.item() == pytest.approx(400 + 2 * 0.6931, rel=1e-3)
    assert pos_grad[1].item() == pytest.approx(1) and neg_grad[0].item() == pytest.approx(1)
    torch.testing.assert_close(logits.grad.float(), torch.tensor([[1, -1, 0.5], [0, 0, 0.5]]))


def test_gradient_is_scaled_and_can_be_taken_twice():
    logits, targets, (pos_weight, neg_weight, _) = random_problem()
    loss = weighted_sigmoid_cross_entropy(logits, targets, pos_weight, neg_weight).loss
    (once,) = torch.autograd.grad(loss, logits, retain_graph=True)
    (scaled,) = torch.autograd.grad(3 * loss, logits)
    torch.testing.assert_close(scaled, 3 * once)


def test_small_gradients_survive_half_precision_with_a_loss_scale():
    logits = torch.full((1, 2), -17.0, dtype=torch.float16, requires_grad=True)
    ones = torch.ones(2)
    loss = weighted_sigmoid_cross_entropy(logits, torch.tensor([1]), ones, ones).loss
    (65536 * loss).backward()
    torch.testing.assert_close(
        logits.grad[0, 0].float(), 65536 * torch.tensor(-17.0).sigmoid(), rtol=1e-3, atol=0
    )


def test_empty_batch_is_zero_with_a_gradient():
    logits = torch.zeros(0, 5, requires_grad=True)
    ones = torch.ones(5)
    result = weighted_sigmoid_cross_entropy(logits, torch.zeros(0, dtype=torch.long), ones, ones)
    result.loss.backward()
    assert result.loss.item() == 0 and logits.grad.shape == (0, 5)
    assert result.neg_grad.sum() == 0

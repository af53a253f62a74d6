import pytest
import torch
import torch.nn.functional as F

from eql_d2.losses.functional import softmax_cross_entropy
from eql_d2.losses.functional.blocks import cut


def random_problem(rows=80, columns=40):
    generator = torch.Generator().manual_seed(1)
    logits = 3 * torch.randn(rows, columns, generator=generator, dtype=torch.float64)
    targets = torch.randint(columns, (rows,), generator=generator)
    margin = torch.randn(columns, generator=generator, dtype=torch.float64)
    return logits.requires_grad_(), targets, margin


@pytest.mark.parametrize("labels", ["hard", "soft"])
def test_loss_gradient_and_column_sums_equal_autograd_in_float64(labels):
    logits, targets, margin = random_problem()
    y = F.one_hot(targets, 40).double()
    if labels == "soft":
        targets = y = 0.7 * y + 0.3 * y.roll(1, 0)
    loss, pos_grad, neg_grad = softmax_cross_entropy(logits, targets, margin, 80)
    (gradient,) = torch.autograd.grad(loss, logits)
    expected = F.cross_entropy(logits + margin, targets)
    (expected_gradient,) = torch.autograd.grad(expected, logits)
    absolute = expected_gradient.abs()
    torch.testing.assert_close(loss, expected, rtol=1e-11, atol=0)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-10, atol=1e-15)
    torch.testing.assert_close(pos_grad, (absolute * y).sum(0), rtol=1e-10, atol=1e-15)
    torch.testing.assert_close(neg_grad, (absolute * (1 - y)).sum(0), rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("labels", ["hard", "soft"])
@pytest.mark.parametrize("shape", [(50, 40), (2, 40, 5, 5)])
def test_blocks_do_not_show(monkeypatch, shape, labels):
    logits, targets, margin = random_problem(rows=50)
    logits = logits.detach().reshape(shape).requires_grad_()
    targets = targets.reshape(shape[:1] + shape[2:])
    if labels == "soft":
        targets = F.one_hot(targets, 40).movedim(-1, 1).double()
    whole = softmax_cross_entropy(logits, targets, margin)
    monkeypatch.setitem(cut._ELEMENTS, "cpu", 8 * 7 * 40)
    in_blocks = softmax_cross_entropy(logits, targets, margin)
    torch.testing.assert_close(tuple(whole), tuple(in_blocks))
    torch.testing.assert_close(*(torch.autograd.grad(r.loss, logits) for r in (whole, in_blocks)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_t5_extreme_logits_stay_finite(dtype):
    logits = torch.tensor([[200.0, -200.0, 0.0], [-200.0, 200.0, 0.0]], dtype=dtype)
    logits.requires_grad_()
    margin = torch.tensor([0.0, 0.0, -9.0])
    loss, pos_grad, neg_grad = softmax_cross_entropy(logits, torch.tensor([1, 1]), margin)
    loss.backward()
    assert loss.item() == pytest.approx(400)
    assert pos_grad.tolist() == [0, 1, 0] and neg_grad.tolist() == [1, 0, 0]
    torch.testing.assert_close(logits.grad, torch.tensor([[1, -1, 0], [0, 0, 0]], dtype=dtype))


def test_ignored_rows_cost_nothing_and_count_nothing():
    logits, targets, margin = random_problem()
    targets[::3] = -1
    kept = targets >= 0
    result = softmax_cross_entropy(logits, targets, margin, 7.0)
    expected = softmax_cross_entropy(logits[kept], targets[kept], margin, 7.0)
    torch.testing.assert_close(tuple(result), tuple(expected))
    torch.testing.assert_close(*(torch.autograd.grad(r.loss, logits) for r in (result, expected)))

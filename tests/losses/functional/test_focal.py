import pytest
import torch
import torch.nn.functional as F

from eql_d2.losses.functional import class_focal_loss
from eql_d2.losses.functional.blocks import cut

C = 6


def random_problem(planes=2, positions=200):
    """Logits (P, C, S), labels (background, ignored, foreground) and qualities (P, S), and for
    each class a focusing factor and two weights; in float64."""
    generator = torch.Generator().manual_seed(0)
    logits = 60 * torch.rand(planes, C, positions, generator=generator, dtype=torch.float64) - 30
    labels = torch.randint(-1, C + 1, (planes, positions), generator=generator)
    labels[:, positions // 2 :] = C
    quality = torch.rand(planes, positions, generator=generator, dtype=torch.float64)
    factors = torch.rand(3, C, generator=generator, dtype=torch.float64)
    factors[0] = 2 + 8 * factors[0]
    return logits.requires_grad_(), labels, quality, factors


@pytest.mark.parametrize("with_quality", [False, True])
def test_loss_gradient_and_class_sums_equal_autograd_in_float64(with_quality):
    logits, labels, quality, (gamma, *weight) = random_problem()
    is_label = F.one_hot(labels.clamp(min=0), C + 1)[..., :C].movedim(-1, 1).bool()
    valid = (labels >= 0)[:, None]
    gamma_, pos_weight, neg_weight = (factor[:, None] for factor in (gamma, *weight))
    log_p, log_n = F.logsigmoid(logits), F.logsigmoid(-logits)
    if with_quality:
        p, q = torch.sigmoid(logits), quality[:, None]
        positive = (q - p).abs() ** gamma_ * -(q * log_p + (1 - q) * log_n)
    else:
        positive = torch.exp(gamma_ * log_n) * -log_p
    negative = torch.exp(gamma_ * log_p) * -log_n
    expected = valid * torch.where(is_label, pos_weight * positive, neg_weight * negative)
    expected = expected.sum()
    (expected_gradient,) = torch.autograd.grad(expected, logits)

    result = class_focal_loss(
        [logits], [labels], gamma, *weight, quality=[quality] if with_quality else None
    )
    (found,) = torch.autograd.grad(result.loss, logits)
    torch.testing.assert_close(result.loss, expected, rtol=1e-9, atol=0)
    torch.testing.assert_close(found, expected_gradient, rtol=1e-10, atol=1e-12)
    absolute = expected_gradient.abs()
    pos_grad, neg_grad = ((absolute * part).sum((0, 2)) for part in (is_label, ~is_label))
    torch.testing.assert_close(result.pos_grad, pos_grad, rtol=1e-9, atol=0)
    torch.testing.assert_close(result.neg_grad, neg_grad, rtol=1e-9, atol=0)


@pytest.mark.parametrize("elements", [70, 3 * C * 20])
def test_blocks_do_not_show(monkeypatch, elements):
    """Blocks of some classes of a plane, and of some planes with all classes."""
    logits, labels, quality, factors = random_problem(planes=8, positions=20)
    whole = class_focal_loss([logits], [labels], *factors, quality=[quality])
    monkeypatch.setitem(cut._ELEMENTS, "cpu", 8 * elements)
    in_blocks = class_focal_loss([logits], [labels], *factors, quality=[quality])
    torch.testing.assert_close(tuple(whole), tuple(in_blocks))
    torch.testing.assert_close(*(torch.autograd.grad(r.loss, logits) for r in (whole, in_blocks)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_t5_extreme_logits_stay_finite(dtype):
    logits = torch.tensor([[200.0, -200.0, 0.0], [-200.0, 200.0, 0.0]], dtype=dtype)
    logits.requires_grad_()
    gamma, one = torch.full((3,), 2.0), torch.ones(3)
    loss, pos_grad, neg_grad = class_focal_loss(
        [logits[..., None]], [torch.tensor([[1], [1]])], gamma, one, one
    )
    loss.backward()
    # At p = 1/2 the loss is log(2) / 4 and its gradient (log(2) + 1/2) / 4, here of two rows.
    assert loss.item() == pytest.approx(400 + 2 * 0.1733, rel=1e-3)
    assert pos_grad.tolist() == pytest.approx([0, 1, 0])
    assert neg_grad.tolist() == pytest.approx([1, 0, 2 * 0.2983], rel=1e-3)
    expected = torch.tensor([[1, -1, 0.2983], [0, 0, 0.2983]], dtype=dtype)
    torch.testing.assert_close(logits.grad, expected, rtol=1e-2, atol=0)

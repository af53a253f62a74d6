import pytest
import torch
import torch.nn.functional as F

from eql_d2.losses.functional import seesaw_margins

COUNT = torch.tensor([500.0, 40, 40, 3, 0])
C = len(COUNT)


def rows(num_rows=30):
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(num_rows, C, generator=generator, dtype=torch.float64)
    return logits, torch.randint(C, (num_rows,), generator=generator)


@pytest.mark.parametrize(("p", "q"), [(0.8, 2.0), (0.8, 0.0), (0.0, 2.0), (1.5, 0.3)])
def test_margins_are_the_logarithms_of_the_papers_factors(p, q):
    logits, targets = rows()
    margins = seesaw_margins(logits, targets, COUNT, p, q, eps=0.01)
    score, count = logits.softmax(1), COUNT.clamp(min=1)
    for row, i in enumerate(targets.tolist()):
        for j in range(C):
            mitigation = (count[j] / count[i]) ** p if count[i] > count[j] else 1.0
            of_label, of_other = max(score[row, i], 0.01), score[row, j]
            compensation = (of_other / of_label) ** q if of_other > of_label else 1.0
            assert margins[row, j].exp() == pytest.approx(float(mitigation * compensation), 1e-6)
        assert margins[row, i] == 0


def test_without_exponents_there_are_no_margins():
    assert not seesaw_margins(*rows(), COUNT, 0.0, 0.0, 0.01).any()


def test_mitigation_spares_rarer_classes_alone():
    margins = seesaw_margins(torch.zeros(3, C), torch.tensor([0, 2, 4]), COUNT, 0.8, 2.0, 0.01)
    assert (margins[0, 1:] < 0).all() and margins[0].diff()[-2:].lt(0).all()
    assert margins[1, :3].tolist() == [0, 0, 0] and (margins[1, 3:] < 0).all()
    assert not margins[2].any()


def test_compensation_raises_the_classes_above_the_label_alone():
    logits = torch.tensor([[0.0, 1.0, -1.0, 2.0, 0.0]])
    margins = seesaw_margins(logits, torch.tensor([0]), torch.ones(C), 0.8, 2.0, 0.01)
    torch.testing.assert_close(margins, torch.tensor([[0.0, 2.0, 0.0, 4.0, 0.0]]))


def test_compensation_stops_at_a_label_of_probability_eps():
    far, further = torch.zeros(1, C), torch.zeros(1, C)
    far[0, 0], further[0, 0] = -20, -60
    results = [
        seesaw_margins(z, torch.tensor([0]), torch.ones(C), 0.8, 2.0, 0.01) for z in (far, further)
    ]
    torch.testing.assert_close(*results)
    torch.testing.assert_close(results[0][0, 1], 2 * torch.tensor(0.25 / 0.01).log())


def test_margins_are_constants():
    logits, targets = rows()
    margins = seesaw_margins(logits.requires_grad_(), targets, COUNT, 0.8, 2.0, 0.01)
    assert not margins.requires_grad
    (found,) = torch.autograd.grad(F.cross_entropy(logits + margins, targets), logits)
    expected = (logits + margins).softmax(1) - F.one_hot(targets, C)
    torch.testing.assert_close(found, expected / len(logits), rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_margins_of_half_precision_are_float32(dtype):
    logits, targets = rows()
    margins = seesaw_margins(logits.to(dtype), targets, COUNT, 0.8, 2.0, 0.01)
    expected = seesaw_margins(logits.to(dtype).float(), targets, COUNT, 0.8, 2.0, 0.01)
    assert margins.dtype == torch.float32 and torch.equal(margins, expected)


def test_rows_without_a_label_are_finite():
    logits = 200 * torch.randn(3, C).sign()
    margins = seesaw_margins(logits, torch.tensor([-1, -100, C]), COUNT, 0.8, 2.0, 0.01)
    assert margins.isfinite().all()

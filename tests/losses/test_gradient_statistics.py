import pytest
import torch

from eql_d2 import EQLv2, GradientStatistics, InputError
from tests.losses.test_parity import long_tailed_batch, relative_difference


def test_counts_beyond_the_limit_of_float32():
    statistics = GradientStatistics(1)
    statistics.update(torch.tensor([2.0**25]), torch.tensor([1.0]))
    statistics.update(torch.tensor([1.0]), torch.tensor([1.0]))
    assert statistics.pos_grad.item() == 2**25 + 1


def test_ratio_of_a_class_without_any_gradient_is_the_initial_one():
    statistics = GradientStatistics(3, initial_ratio=100.0)
    statistics.update(torch.tensor([0.0, 1.0, 0.0]), torch.tensor([2.0, 4.0, 0.0]))
    torch.testing.assert_close(statistics.ratio(), torch.tensor([0, 0.25, 100.0]).double())


def test_a_step_that_is_not_finite_is_left_out_as_a_whole():
    statistics = GradientStatistics(2)
    statistics.update(torch.ones(2), torch.ones(2))
    for bad in (float("nan"), float("inf")):
        statistics.update(torch.ones(2), torch.tensor([1.0, bad]))
    assert statistics.pos_grad.tolist() == [1, 1] and statistics.neg_grad.tolist() == [1, 1]


def test_a_step_that_is_left_out_forgets_nothing_either():
    statistics = GradientStatistics(2, decay=0.5)
    statistics.update(torch.ones(2), torch.ones(2))
    statistics.update(torch.ones(2), torch.tensor([1.0, float("nan")]))
    assert statistics.pos_grad.tolist() == [1, 1] and statistics.neg_grad.tolist() == [1, 1]
    statistics.update(torch.ones(2), torch.ones(2))
    assert statistics.pos_grad.tolist() == [1.5, 1.5]


def test_reset_forgets():
    statistics = GradientStatistics(2)
    statistics.update(torch.ones(2), torch.ones(2))
    statistics.reset()
    assert statistics.pos_grad.sum() == 0 and statistics.ratio().tolist() == [1, 1]


def test_state_is_saved_and_its_absence_is_no_complaint():
    statistics = GradientStatistics(2)
    statistics.update(torch.ones(2), 2 * torch.ones(2))
    copy = GradientStatistics(2)
    copy.load_state_dict(statistics.state_dict())
    assert copy.neg_grad.tolist() == [2, 2]
    incompatible = copy.load_state_dict({})
    assert not incompatible.missing_keys and not incompatible.unexpected_keys
    assert copy.neg_grad.tolist() == [2, 2]


def test_sums_of_another_number_of_classes_are_refused():
    with pytest.raises(InputError, match=r"of 2 classes got sums of shapes \(3,\)"):
        GradientStatistics(2).update(torch.ones(3), torch.ones(3))


def test_micro_batches_are_steps_that_differ_from_their_batch_at_the_start_alone():
    """As docs/losses.md says of gradient accumulation."""
    generator = torch.Generator().manual_seed(0)
    whole, parts, differences = EQLv2(50), EQLv2(50), []
    for _ in range(40):
        _, targets = long_tailed_batch(generator, 50, 512)
        given = torch.randn(512, 51, generator=generator) - 3
        together, apart = given.clone().requires_grad_(), given.clone().requires_grad_()
        whole(together, targets).backward()
        for logits, labels in zip(apart.chunk(4), targets.chunk(4)):
            (parts(logits, labels) / 4).backward()
        differences.append(relative_difference(apart.grad, together.grad))
    assert differences[0] > 0.5 and differences[-1] < 0.05

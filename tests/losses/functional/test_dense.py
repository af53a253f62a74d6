"""The dense form against the blocks."""

import pytest
import torch

from eql_d2.losses.functional import (
    backend,
    class_focal_loss,
    softmax_cross_entropy,
    weighted_sigmoid_cross_entropy,
)
from tests.losses.functional.problems import (
    PROBLEMS,
    answers,
    assert_same,
    focal_problem,
    sigmoid_problem,
    softmax_problem,
)

MANY = [
    (class_focal_loss, focal_problem((40, 33, 1))),
    (class_focal_loss, focal_problem((4, 33, 50), with_quality=True)),
    (weighted_sigmoid_cross_entropy, sigmoid_problem((60, 33))),
    (weighted_sigmoid_cross_entropy, sigmoid_problem((3, 33, 5, 6), with_groups=True)),
    (softmax_cross_entropy, softmax_problem((60, 33))),
    (softmax_cross_entropy, softmax_problem((3, 33, 5, 6))),
    (softmax_cross_entropy, softmax_problem((60, 33), is_soft=True)),
]


@pytest.mark.parametrize("dtype, bound", [(torch.float64, 1e-13), (torch.float32, 1e-5)])
@pytest.mark.parametrize("function, problem", MANY)
def test_dense_is_blocks(function, problem, dtype, bound):
    expected = answers(function, problem, "blocks", torch.float64)
    assert_same(answers(function, problem, "dense", dtype), expected, bound)


@pytest.mark.parametrize("kind", ["background", "ignored"])
@pytest.mark.parametrize("function", PROBLEMS)
def test_dense_is_blocks_where_all_labels_are_one(function, kind):
    problem = PROBLEMS[function]((6, 5, 1) if function is class_focal_loss else (6, 5), kind)
    expected = answers(function, problem, "blocks", torch.float64)
    assert_same(answers(function, problem, "dense", torch.float64), expected, 1e-13)


@pytest.mark.parametrize("function", PROBLEMS)
def test_dense_ignores_whatever_the_logits_are(function):
    shape = (6, 5, 1) if function is class_focal_loss else (6, 5)
    logits = torch.full(shape, float("nan"), dtype=torch.float64)
    problem = PROBLEMS[function](shape, "ignored", logits=logits)
    for value in answers(function, problem, "dense", torch.float32):
        assert not value.any()


def test_the_levels_of_a_pyramid_add_up():
    levels = [focal_problem((4, 7, size), with_quality=True, seed=size) for size in (30, 9, 1)]
    logits, labels, quality = ([level[i][0] for level in levels] for i in (0, 1, 5))
    together = (logits, labels, *levels[0][2:5], quality)
    expected = answers(class_focal_loss, together, "blocks", torch.float64)
    assert_same(answers(class_focal_loss, together, "dense", torch.float64), expected, 1e-13)


@pytest.mark.parametrize("name", ["fast", "kernel", ""])
def test_unknown_forms_are_refused(name):
    with pytest.raises(ValueError, match="give auto, kernels, dense, blocks"), backend(name):
        pass

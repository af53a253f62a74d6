"""Weights of rows in all forms: what is linear in them, against the plain reference of float64."""

import pytest
import torch

from eql_d2.losses.functional import (
    class_focal_loss,
    softmax_cross_entropy,
    weighted_sigmoid_cross_entropy,
)
from tests.losses.functional import plain
from tests.losses.functional.problems import (
    answers,
    assert_same,
    focal_problem,
    sigmoid_problem,
    softmax_problem,
)
from tests.losses.functional.test_forms import FORMS

ROWS, MAPS = (70, 5), (2, 5, 9, 8)
WEIGHTS = torch.tensor([0, 0.1, 1, 2.5], dtype=torch.float64)
PROBLEMS = {
    "focal": (class_focal_loss, focal_problem, {}),
    "quality": (class_focal_loss, focal_problem, {"with_quality": True}),
    "sigmoid": (weighted_sigmoid_cross_entropy, sigmoid_problem, {}),
    "groups": (weighted_sigmoid_cross_entropy, sigmoid_problem, {"with_groups": True}),
    "hard": (softmax_cross_entropy, softmax_problem, {}),
    "soft": (softmax_cross_entropy, softmax_problem, {"is_soft": True}),
}


def weights_of(shape):
    generator = torch.Generator().manual_seed(2)
    return WEIGHTS[torch.randint(len(WEIGHTS), (shape[0], *shape[2:]), generator=generator)]


def as_rows(value, has_columns):
    """(N, K, ...) as (R, K), and (N, ...) as (R,)."""
    return value.movedim(1, -1).flatten(0, -2) if has_columns else value.flatten()


def expected_of(function, problem, row_weight):
    """The sum over the weights of the weight times what the rows that have it give alone."""
    z, label, *others = problem
    is_soft = label.is_floating_point()
    rows, label, weight = as_rows(z, True), as_rows(label, is_soft), row_weight.flatten()
    if function is class_focal_loss and others[3] is not None:
        others[3] = others[3].flatten()
    total = [0.0, 0.0, 0.0, torch.zeros_like(rows)]
    for value in WEIGHTS:
        own = weight == value
        labels = label * own[:, None] if is_soft else label.where(own, -1)
        found = getattr(plain, function.__name__)(rows, labels, *others)
        total = [sum_ + value * part for sum_, part in zip(total, found)]
    return *total[:3], 3 * total[3]


@pytest.mark.parametrize("shape", [ROWS, MAPS], ids=["rows", "maps"])
@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.parametrize("problem", PROBLEMS)
def test_loss_gradient_and_sums_are_linear_in_the_weights(problem, form, shape):
    function, make, options = PROBLEMS[problem]
    form, dtype, bound = form
    if function is class_focal_loss:
        shape = (shape[0], shape[1], shape[2] * shape[3] if len(shape) > 2 else 1)
        logits, labels, *factors, quality = make(shape, **options)
        weight = [weights_of(shape)]
        given = logits, labels, *factors, quality, weight
        plain_problem = logits[0], labels[0], *factors, quality and quality[0]
    else:
        plain_problem, weight = make(shape, **options), [weights_of(shape)]
        given = *plain_problem, weight[0]
    *sums, gradient = answers(function, given, form, dtype)
    expected = expected_of(function, plain_problem, weight[0])
    assert_same([*sums, as_rows(gradient, True)], expected, bound)


@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.parametrize("problem", ["focal", "quality", "sigmoid", "hard"])
def test_rows_of_weight_0_are_ignored_whatever_their_logits_are(problem, form):
    function, make, options = PROBLEMS[problem]
    is_focal = function is class_focal_loss
    shape = (6, 5, 1) if is_focal else (6, 5)
    logits = torch.full(shape, float("nan"), dtype=torch.float64)
    given = make(shape, "background", logits=logits, **options)
    weight = torch.zeros(shape[:1] + shape[2:])
    for value in answers(function, (*given, [weight] if is_focal else weight), *form[:2]):
        assert not value.any()


@pytest.mark.parametrize(
    "weight, message",
    [
        (torch.ones(4), r"got a row_weight of shape \(4,\): it must be \(6,\)"),
        (torch.ones(6, dtype=torch.int64), r"got a row_weight of torch.int64: it must be floating"),
    ],
)
def test_other_weights_are_refused(weight, message):
    for make, function in (
        (sigmoid_problem, weighted_sigmoid_cross_entropy),
        (softmax_problem, softmax_cross_entropy),
    ):
        with pytest.raises(ValueError, match=message):
            function(*make((6, 5)), row_weight=weight)

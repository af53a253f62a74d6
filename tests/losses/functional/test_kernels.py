"""The kernels against float64: on a GPU or, without one, run by Triton's interpreter."""

import os

import pytest
import torch

from eql_d2 import EFL, EQFL, EQLv2, SoftmaxEQL
from eql_d2.losses.functional import (
    backend,
    class_focal_loss,
    softmax_cross_entropy,
    weighted_sigmoid_cross_entropy,
)
from tests.losses import test_efl, test_parity
from tests.losses.functional.problems import (
    DEVICE,
    PROBLEMS,
    answers,
    assert_same,
    focal_problem,
    needs_triton,
    on_device,
    sigmoid_problem,
    softmax_problem,
)
from tests.losses.trajectory import follow
from tests.reference.focal_losses import ReferenceEFL, ReferenceEQFL
from tests.reference.sigmoid_losses import ReferenceEQLv2
from tests.reference.softmax_eql import ReferenceSoftmaxEQL

pytestmark = [
    needs_triton,
    pytest.mark.skipif(
        DEVICE == "cpu" and os.environ.get("TRITON_INTERPRET") != "1",
        reason="there is neither a GPU nor TRITON_INTERPRET=1",
    ),
]
# Rows and maps, with more or fewer columns and rows than a tile, and not a multiple of it
SHAPES = [(1, 5), (70, 131), (33, 7), (2, 5, 9, 8), (1, 33, 1, 70)]


def as_planes(shape):
    return (*shape[:2], 1) if len(shape) == 2 else (*shape[:2], shape[2] * shape[3])


@pytest.mark.parametrize("option", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(
    "function", [class_focal_loss, weighted_sigmoid_cross_entropy], ids=lambda f: f.__name__
)
def test_sigmoid_kernels_are_float64(function, shape, option):
    """Without and with a quality, 0 and 1 among them; without and with groups of labels."""
    if function is class_focal_loss:
        problem = focal_problem(as_planes(shape), with_quality=option)
    else:
        problem = sigmoid_problem(shape, with_groups=option)
    expected = answers(function, problem, "blocks", torch.float64)
    assert_same(answers(function, problem, "kernels", torch.float32), expected, 1e-5)


@pytest.mark.parametrize("shape", [*SHAPES, (5, 1100)], ids=str)
def test_softmax_kernels_are_float64(shape):
    problem = softmax_problem(shape)
    expected = answers(softmax_cross_entropy, problem, "blocks", torch.float64)
    assert_same(answers(softmax_cross_entropy, problem, "kernels", torch.float32), expected, 1e-5)


@pytest.mark.parametrize("kind", ["background", "ignored"])
@pytest.mark.parametrize("function", PROBLEMS, ids=lambda f: f.__name__)
def test_kernels_where_all_labels_are_one(function, kind):
    problem = PROBLEMS[function]((6, 5, 1) if function is class_focal_loss else (6, 5), kind)
    expected = answers(function, problem, "blocks", torch.float64)
    assert_same(answers(function, problem, "kernels", torch.float32), expected, 1e-5)


@pytest.mark.parametrize("function", PROBLEMS, ids=lambda f: f.__name__)
def test_kernels_ignore_whatever_the_logits_are(function):
    shape = (6, 5, 1) if function is class_focal_loss else (6, 5)
    logits = torch.full(shape, float("nan"), dtype=torch.float64)
    problem = PROBLEMS[function](shape, "ignored", logits=logits)
    for value in answers(function, problem, "kernels", torch.float32):
        assert not value.any()


@pytest.mark.parametrize("function", PROBLEMS, ids=lambda f: f.__name__)
def test_kernels_of_an_empty_batch(function):
    shape = (0, 5, 1) if function is class_focal_loss else (0, 5)
    for value in answers(function, PROBLEMS[function](shape), "kernels", torch.float32):
        assert not value.any()


@pytest.mark.parametrize("function", PROBLEMS, ids=lambda f: f.__name__)
def test_kernels_of_logits_of_200(function):
    shape = (40, 6, 1) if function is class_focal_loss else (40, 6)
    sign = torch.randn(shape, generator=torch.Generator().manual_seed(1)).sign()
    problem = PROBLEMS[function](shape, logits=200 * sign.double())
    expected = answers(function, problem, "blocks", torch.float64)
    assert_same(answers(function, problem, "kernels", torch.float32), expected, 1e-5)


@pytest.mark.parametrize("dtype, rounding", [(torch.bfloat16, 2**-7), (torch.float16, 2**-11)])
@pytest.mark.parametrize("function", PROBLEMS, ids=lambda f: f.__name__)
def test_kernels_of_half_precision_round_only_the_gradient(function, dtype, rounding):
    shape = (70, 33, 1) if function is class_focal_loss else (70, 33)
    logits, *others = PROBLEMS[function](shape)
    logits = [z.to(dtype).double() for z in logits] if type(logits) is list else logits.to(dtype)
    expected = answers(function, (logits, *others), "blocks", torch.float64)
    found = answers(function, (logits, *others), "kernels", dtype)
    # The interpreter cuts float32 off where a GPU rounds it to bfloat16.
    assert_same(found[:3], expected[:3], 1e-5)
    torch.testing.assert_close(found[3], expected[3], rtol=rounding, atol=1e-6)


def test_the_levels_of_a_pyramid_add_up():
    levels = [focal_problem((4, 7, size), with_quality=True, seed=size) for size in (70, 9, 1)]
    logits, labels, quality = ([level[i][0] for level in levels] for i in (0, 1, 5))
    together = (logits, labels, *levels[0][2:5], quality)
    expected = answers(class_focal_loss, together, "blocks", torch.float64)
    assert_same(answers(class_focal_loss, together, "kernels", torch.float32), expected, 1e-5)


@pytest.mark.parametrize("cls", [EFL, EQFL])
def test_two_anchors_of_a_position_are_rows(cls, monkeypatch):
    with backend("kernels"):
        sizes = [(6, 5), (5, 4), (5, 2)]
        test_efl.test_maps_of_any_number_of_levels_equal_rows(
            lambda num_classes: on_device(cls(num_classes)), sizes, monkeypatch
        )


# Of a training: that a step's gradients are right is shown above, and that 200 steps of the blocks
# equal the references by the tests of the losses.
STEPS = 40


@pytest.mark.slow
@pytest.mark.parametrize("loss, reference", [(EFL, ReferenceEFL), (EQFL, ReferenceEQFL)])
def test_focal_trajectories_equal_the_slow_reference(loss, reference):
    with backend("kernels"):
        test_efl.assert_follows(on_device(loss(50)), reference(50), STEPS)


@pytest.mark.slow
def test_the_trajectory_of_eqlv2_equals_the_slow_reference():
    loss, reference = on_device(EQLv2(50)), ReferenceEQLv2(50)
    with backend("kernels"):
        assert test_parity.sgd_differences(loss, reference, 50, STEPS) <= 1e-5


@pytest.mark.slow
def test_the_trajectory_of_softmax_eql_equals_the_slow_reference():
    with backend("kernels"):
        worst, _ = follow(on_device(SoftmaxEQL(50)), ReferenceSoftmaxEQL(50), 50, STEPS)
    assert worst <= 1e-5

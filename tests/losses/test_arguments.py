"""What a loss and its functions are given: one line for a wrong shape or dtype, one dtype back."""

import re

import pytest
import torch
from torch.autograd import gradcheck

from eql_d2 import EFL, EQFL, FocalLoss, InputError, SeesawLoss
from eql_d2.losses.functional import (
    backend,
    class_focal_loss,
    seesaw_margins,
    softmax_cross_entropy,
    weighted_sigmoid_cross_entropy,
)
from tests.losses.functional.fake_cuda import on_cuda
from tests.losses.test_contract import LOSSES, C, batch, build, call

DENSE = [FocalLoss, EFL, EQFL]


def refused(loss, *args, **kwargs):
    """The line, without the name of the loss."""
    before = {name: value.clone() for name, value in loss.state_dict().items()}
    with pytest.raises(InputError, match=f"^{type(loss).__name__} got ") as error:
        loss(*args, **kwargs)
    torch.testing.assert_close(loss.state_dict(), before, rtol=0, atol=0)
    assert "\n" not in str(error.value)
    return str(error.value).partition(" got ")[2]


@pytest.mark.parametrize("dtype", [torch.int32, torch.uint8, torch.bool, torch.float32])
@pytest.mark.parametrize("loss_class", LOSSES)
def test_labels_of_another_dtype_than_int64_are_refused(loss_class, dtype):
    logits, targets = batch()
    quality = {"quality": torch.ones(50)} if loss_class is EQFL else {}
    line = refused(build(loss_class), logits, targets.to(dtype), **quality)
    if dtype == torch.float32 and loss_class.takes_soft_labels:
        assert line.startswith("targets of shape (50,) for logits of shape (50, 6): give soft")
    else:
        assert line.startswith(f"targets of {dtype}: give int64 labels (targets.long())")


@pytest.mark.parametrize("loss_class", DENSE)
def test_labels_and_shapes_of_maps_are_looked_at_too(loss_class):
    loss, maps = build(loss_class), [torch.zeros(2, 2 * C, 3, 3), torch.zeros(2, 2 * C, 1, 1)]
    targets = torch.zeros(2, 20, dtype=torch.int64)
    quality = {"quality": torch.ones(2, 20)} if loss_class is EQFL else {}
    loss(maps, targets, **quality)
    assert refused(loss, maps, targets.int(), **quality).startswith("targets of torch.int32: give")
    for shape in [(2, 19), (2, 21), (2, 20, 1)]:
        line = refused(loss, maps, torch.zeros(shape, dtype=torch.int64), **quality)
        assert line == f"targets of shape {shape} for maps with 20 anchors an image: give (2, 20)"
    for shape in [(2, 2 * C + 1, 3, 3), (2, 2 * C, 9), (3, 2 * C, 3, 3)]:
        line = refused(loss, [torch.zeros(shape)], targets, **quality)
        assert line.startswith(f"a map of shape {shape} and targets of shape (2, 20): give maps of")


def test_a_quality_of_another_shape_or_dtype_is_refused():
    loss, (logits, targets) = build(EQFL), batch()
    for quality, line in [
        (torch.ones(49), "a quality of shape (49,): it must be (50,)"),
        (torch.ones(50, C), "a quality of shape (50, 6): it must be (50,)"),
        (torch.ones(50).long(), "a quality of torch.int64: it must be floating, quality.float()"),
    ]:
        assert refused(loss, logits, targets, quality=quality) == line


@pytest.mark.parametrize("loss_class", LOSSES)
def test_logits_that_are_no_numbers_with_a_point_are_refused(loss_class):
    logits, targets = batch()
    quality = {"quality": torch.ones(50)} if loss_class is EQFL else {}
    line = refused(build(loss_class), logits.long(), targets, **quality)
    assert line == "logits of torch.int64: they must be floating, logits.float()"


@pytest.mark.parametrize("form", ["blocks", "dense"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("loss_class", LOSSES)
def test_the_dtype_of_a_loss_is_that_of_its_logits_alone(loss_class, dtype, form):
    """float32 of half precision; whatever the normaliser is, and always a scalar."""
    expected = torch.float64 if dtype == torch.float64 else torch.float32
    logits, targets = batch(dtype=dtype)
    two = [None, 2, 2.0, *(torch.tensor(2.0, dtype=d) for d in (torch.float16, torch.float64))]
    for normalizer in [*two, torch.tensor(2), torch.tensor([2.0])]:
        loss = build(loss_class)
        loss.monitor()
        with backend(form):
            value = call(loss, logits, targets, normalizer=normalizer)
        assert (value.dtype, value.shape) == (expected, ())
        assert loss.statistics.pos_grad.dtype == torch.float64
    with pytest.raises(InputError, match=r"got a normalizer of shape \(50,\): give one number"):
        call(loss, logits, targets, normalizer=torch.ones(50))


@pytest.mark.parametrize("form", ["blocks", "dense", "kernels"])
@pytest.mark.parametrize("loss_class", LOSSES)
def test_gradcheck_finds_the_gradient_of_the_loss(loss_class, form):
    """Outside of training, where nothing counts; Seesaw's compensation is a constant to it."""
    loss = build(loss_class, q=0.0) if loss_class is SeesawLoss else build(loss_class)
    logits, targets = batch(dtype=torch.float64)
    loss.eval()
    if form == "kernels":
        pytest.importorskip("triton", reason="Triton is not installed")
    with backend(form):
        assert gradcheck(lambda z: call(loss, z, targets[:6]), logits[:6].requires_grad_())


def sigmoid(**changed):
    arguments = {
        **{"logits": torch.zeros(4, C), "targets": torch.zeros(4, dtype=torch.int64)},
        **{"pos_weight": torch.ones(C), "neg_weight": torch.ones(C), "label_group": None},
    }
    return weighted_sigmoid_cross_entropy(**(arguments | changed))


def softmax(**changed):
    arguments = {"logits": torch.zeros(4, C), "targets": torch.zeros(4, dtype=torch.int64)}
    return softmax_cross_entropy(**(arguments | {"margin": torch.zeros(C)} | changed))


def focal(**changed):
    arguments = {
        **{"logits": [torch.zeros(4, C, 5)], "labels": [torch.zeros(4, 5, dtype=torch.int64)]},
        **{key: torch.ones(C) for key in ("gamma", "pos_weight", "neg_weight")},
    }
    return class_focal_loss(**(arguments | changed))


def seesaw(**changed):
    arguments = {"logits": torch.zeros(4, C), "targets": torch.zeros(4, dtype=torch.int64)}
    arguments |= {"class_count": torch.ones(C), "p": 0.8, "q": 2.0, "eps": 0.01}
    return seesaw_margins(**(arguments | changed))


INT32, GROUPS = torch.zeros(4, dtype=torch.int32), torch.ones(2, C)
WRONG = [
    (sigmoid, {"pos_weight": torch.ones(7)}, "a pos_weight of shape (7,): it must be (6,)"),
    (sigmoid, {"neg_weight": torch.ones(7)}, "a neg_weight of shape (7,): it must be (6,)"),
    (sigmoid, {"neg_weight": torch.ones(1)}, "a neg_weight of shape (1,): it must be (6,)"),
    (sigmoid, {"neg_weight": GROUPS}, "no label_group with a neg_weight of shape (2, 6): groups"),
    (sigmoid, {"label_group": torch.zeros(C).long()}, "a label_group with a neg_weight of shape"),
    (
        sigmoid,
        {"neg_weight": GROUPS, "label_group": torch.zeros(C)},
        "a label_group of torch.float32: give int64, label_group.long()",
    ),
    (
        sigmoid,
        {"neg_weight": GROUPS, "label_group": torch.zeros(7).long()},
        "a label_group of shape (7,): it must be (6,)",
    ),
    (sigmoid, {"targets": INT32}, "targets of torch.int32: give int64 labels (targets.long());"),
    (sigmoid, {"targets": torch.zeros(4)}, "targets of torch.float32: give int64 labels"),
    (sigmoid, {"targets": torch.zeros(5).long()}, "targets of shape (5,) for logits of shape"),
    (sigmoid, {"logits": torch.zeros(4)}, "logits of shape (4,): give (R, K) or (N, K, H, W)"),
    (sigmoid, {"logits": torch.zeros(4, C).long()}, "logits of torch.int64: they must be floating"),
    (softmax, {"margin": torch.ones(1)}, "a margin of shape (1,): it must be (6,)"),
    (softmax, {"targets": INT32}, "targets of torch.int32: give int64 labels (targets.long()), or"),
    (softmax, {"targets": torch.zeros(4, 7)}, "targets of shape (4, 7) for logits of shape (4, 6)"),
    (softmax, {"normalizer": torch.ones(4)}, "a normalizer of shape (4,): give one number"),
    (seesaw, {"class_count": torch.ones(7)}, "a class_count of shape (7,): it must be (6,)"),
    (seesaw, {"targets": INT32}, "targets of torch.int32: give int64 labels (targets.long());"),
    (seesaw, {"targets": torch.zeros(5).long()}, "targets of shape (5,) for logits of shape"),
    (focal, {"gamma": torch.ones(7)}, "a gamma of shape (7,): it must be (6,)"),
    (focal, {"pos_weight": torch.ones(1)}, "a pos_weight of shape (1,): it must be (6,)"),
    (focal, {"neg_weight": torch.tensor(1.0)}, "a neg_weight of shape (): it must be (6,)"),
    (focal, {"labels": [torch.zeros(4, 5).int()]}, "targets of torch.int32: give int64 labels"),
    (focal, {"labels": [torch.zeros(4, 6).long()]}, "labels of shape (4, 6): it must be (4, 5)"),
    (focal, {"logits": [torch.zeros(4, C)]}, "logits of shape (4, 6): it must be (4, 6, 6)"),
    (focal, {"quality": [torch.zeros(4, 6)]}, "a quality of shape (4, 6): it must be (4, 5)"),
    (
        focal,
        {"quality": [torch.zeros(4, 5).bool()]},
        "a quality of torch.bool: it must be floating",
    ),
    (focal, {"quality": []}, "sequences of logits, labels, qualities and row weights of one"),
    (focal, {"logits": []}, "sequences of logits, labels, qualities and row weights of one"),
    (
        focal,
        {"logits": torch.zeros(1, 4, C, 5)},
        "sequences of logits, labels, qualities and row weights of",
    ),
]


@pytest.mark.parametrize("function, changed, line", WRONG)
def test_a_function_refuses_arguments_of_another_shape_or_dtype(function, changed, line):
    function()
    with pytest.raises(ValueError, match=re.escape(line)) as error:
        function(**changed)
    assert "\n" not in str(error.value) and "_" in str(error.value).split()[0]


def test_what_is_refused_is_known_without_a_value():
    """So that it holds on a GPU, which is not waited for, and while a graph is made."""
    losses = [build(loss_class) for loss_class in LOSSES]
    with on_cuda():
        for loss in losses:
            loss.to("cuda")
            quality = {"quality": torch.ones(4)} if loss.uses_quality else {}
            with pytest.raises(InputError, match=r"got targets of torch.int32: give int64"):
                loss(torch.zeros(4, C), torch.zeros(4, dtype=torch.int32), **quality)

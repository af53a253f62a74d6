"""No loss makes the host wait for a GPU, and none sends it many operations."""

import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException

from eql_d2 import (
    ECM,
    EFL,
    EQFL,
    EQL,
    SEQL,
    BalancedSoftmax,
    ClassWeightedSigmoidCE,
    ClassWeightedSoftmaxCE,
    EQLv2,
    FocalLoss,
    SeesawLoss,
    SigmoidCE,
    SoftmaxCE,
    SoftmaxEQL,
)
from eql_d2.losses.functional import backend
from tests.losses.functional.fake_cuda import Operations, backward, on_cuda
from tests.losses.functional.problems import needs_triton

C = 1203
# Feature maps of P3 to P7 of an image of 800 x 1344
LEVELS = [(100, 168), (50, 84), (25, 42), (13, 21), (7, 11)]
# In eager mode; torch.compile makes few of the dense ones, most of which are of a quality.
MOST = {"kernels": 60, "dense": 185}

FORMS = [pytest.param("kernels", marks=needs_triton), "dense"]


def leaf(*shape):
    return torch.zeros(shape, requires_grad=True)


def check(form, loss, make_logits, target_shape):
    with on_cuda():
        loss.to("cuda").train()
        logits = make_logits()
        targets = torch.zeros(target_shape, dtype=torch.int64)
        extra = {"quality": torch.rand(target_shape)} if loss.uses_quality else {}
        with backend(form), Operations() as operations:
            gradients = backward(loss(logits, targets, **extra))
    logits = logits if isinstance(logits, list) else [logits]
    assert {g.shape for g in gradients} == {z.shape for z in logits}
    assert {g.device.type for g in gradients} == {"cuda"}
    assert len(operations.names) <= MOST[form], operations.names


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("num_anchors", [2, 9])
@pytest.mark.parametrize("cls", [FocalLoss, EFL, EQFL])
def test_dense_losses_of_a_pyramid(form, cls, num_anchors):
    def maps():
        return [leaf(2, num_anchors * C, *level) for level in LEVELS]

    anchors = num_anchors * sum(height * width for height, width in LEVELS)
    check(form, cls(C), maps, (2, anchors))


def with_counts(cls):
    return lambda: cls(C, torch.arange(1, C + 1))


def eql(cls):
    return lambda: cls(C, torch.linspace(0, 0.1, C, dtype=torch.float64), lambda_=0.0011)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("num_rows", [1024, 8192])
@pytest.mark.parametrize(
    "make",
    [
        *(lambda cls=cls: cls(C) for cls in (SigmoidCE, SoftmaxCE, EQLv2, SoftmaxEQL, SeesawLoss)),
        *map(eql, (EQL, SEQL)),
        *map(with_counts, (BalancedSoftmax, ClassWeightedSoftmaxCE, ClassWeightedSigmoidCE, ECM)),
    ],
)
def test_losses_of_a_box_head(form, make, num_rows):
    loss = make()
    check(form, loss, lambda: leaf(num_rows, loss.num_logits), (num_rows,))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shape", [(65536, 1000), (4, 150, 512, 512)])
@pytest.mark.parametrize("cls", [SoftmaxCE, EQLv2, SoftmaxEQL])
def test_losses_of_classification_and_segmentation(form, shape, cls):
    check(form, cls(shape[1]), lambda: leaf(*shape), (shape[0], *shape[2:]))


@pytest.mark.parametrize("form", FORMS)
def test_monitored_baselines(form):
    loss = SoftmaxCE(C)
    loss.monitor()
    check(form, loss, lambda: leaf(1024, C + 1), (1024,))


def test_a_wait_of_the_host_raises_here():
    with on_cuda(), backend("blocks"), pytest.raises(DataDependentOutputException):
        EQLv2(C).to("cuda").train()(leaf(1024, C + 1), torch.zeros(1024, dtype=torch.int64))

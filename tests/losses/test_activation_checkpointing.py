"""A loss inside the part of a model that activation checkpointing runs twice."""

import copy

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from eql_d2 import (
    EFL,
    EQFL,
    EQL,
    SEQL,
    BalancedSoftmax,
    EQLv2,
    FocalLoss,
    InputError,
    SeesawLoss,
    SigmoidCE,
    SoftmaxCE,
    SoftmaxEQL,
)
from tests.losses.test_contract import batch, build, call

# A step changes what they have counted, and with it their weights.
WITH_STATE = [EQLv2, SoftmaxEQL, EFL, EQFL, SeesawLoss]
NORMALIZERS = [None, 5.0, torch.tensor(5.0)]


def trained(loss_class):
    """With weights that differ from those of the first step."""
    loss = build(loss_class)
    call(loss, *batch(seed=99))
    return loss


def forward(loss, logits, targets, use_reentrant, **kwargs):
    def run(logits):
        return call(loss, 2 * logits, targets, **kwargs)

    if use_reentrant is None:
        return run(logits)
    return checkpoint(run, logits, use_reentrant=use_reentrant)


def value_and_gradient(loss, use_reentrant, seed=0, in_between=None, **kwargs):
    logits, targets = batch(seed=seed)
    value = forward(loss, logits.requires_grad_(), targets, use_reentrant, **kwargs)
    if in_between is not None:
        in_between(loss)
    value.backward()
    return value.detach(), logits.grad


def evaluation(loss):
    loss.eval()
    call(loss, *batch(seed=8))
    loss.train()


def forward_without_gradients(loss):
    with torch.no_grad():
        call(loss, *batch(seed=8))


@pytest.mark.parametrize("normalizer", NORMALIZERS, ids=["default", "float", "tensor"])
@pytest.mark.parametrize("loss_class", WITH_STATE)
def test_recomputation_is_refused_where_it_would_change_the_weights(loss_class, normalizer):
    loss = trained(loss_class)
    name = loss_class.__name__
    with pytest.raises(InputError, match=f"^{name} .*use_reentrant=True") as error:
        value_and_gradient(loss, use_reentrant=False, normalizer=normalizer)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("in_between", [evaluation, forward_without_gradients])
@pytest.mark.parametrize("loss_class", WITH_STATE)
def test_other_forwards_do_not_hide_a_recomputation(loss_class, in_between):
    with pytest.raises(InputError, match="use_reentrant=True"):
        value_and_gradient(trained(loss_class), use_reentrant=False, in_between=in_between)


@pytest.mark.parametrize("loss_class", WITH_STATE)
def test_the_reentrant_kind_counts_each_step_once(loss_class):
    """Its first forward is without gradients, so that both see the weights before the step."""
    plain, reentrant = build(loss_class), build(loss_class)
    for seed in range(4):
        expected = value_and_gradient(plain, None, seed)
        found = value_and_gradient(reentrant, True, seed)
        torch.testing.assert_close(found, expected, rtol=0, atol=0)
        state = plain.state_dict()
        torch.testing.assert_close(reentrant.state_dict(), state, rtol=0, atol=0)
    assert all(value.sum() > 0 for value in state.values())


@pytest.mark.parametrize("in_between", [evaluation, forward_without_gradients])
@pytest.mark.parametrize("loss_class", WITH_STATE)
def test_other_forwards_do_not_disturb_the_reentrant_kind(loss_class, in_between):
    plain, reentrant = trained(loss_class), trained(loss_class)
    expected = value_and_gradient(plain, None)
    found = value_and_gradient(reentrant, True, in_between=in_between)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    torch.testing.assert_close(reentrant.state_dict(), plain.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("use_reentrant", [False, True])
@pytest.mark.parametrize(
    "loss_class", [SoftmaxCE, SigmoidCE, FocalLoss, EQL, SEQL, BalancedSoftmax]
)
def test_a_loss_without_state_takes_both_kinds(loss_class, use_reentrant):
    expected = value_and_gradient(build(loss_class), None)
    found = value_and_gradient(build(loss_class), use_reentrant)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


@pytest.mark.parametrize("use_reentrant", [False, True])
@pytest.mark.parametrize("loss_class", WITH_STATE)
def test_an_evaluated_loss_takes_both_kinds(loss_class, use_reentrant):
    loss = trained(loss_class).eval()
    before = copy.deepcopy(loss.state_dict())
    expected = value_and_gradient(loss, None)
    found = value_and_gradient(loss, use_reentrant)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    torch.testing.assert_close(loss.state_dict(), before, rtol=0, atol=0)

"""Calls that are one step: layers of a head, micro-batches of a training loop."""

import copy
from functools import partial

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch.utils.checkpoint import checkpoint

from eql_d2 import (
    EFL,
    EQFL,
    BalancedSoftmax,
    EQLv2,
    FocalLoss,
    InputError,
    SeesawLoss,
    SigmoidCE,
    SoftmaxCE,
    SoftmaxEQL,
    step_of,
)
from eql_d2.distributed import end_process_group
from eql_d2.losses import step as step_module
from tests.engine import interrupted  # noqa: F401, whose fork server has imported what takes seconds
from tests.losses.test_contract import C, batch, build

WITH_STATE = [EQLv2, SoftmaxEQL, EFL, EQFL, SeesawLoss]
MONITORED = [SigmoidCE, SoftmaxCE, FocalLoss, BalancedSoftmax]
LAYERS = 3


def call(loss, logits, targets, **kwargs):
    """With the quality of a label."""
    quality = {"quality": (targets + 1) / 8} if loss.uses_quality else {}
    return loss(logits, targets, **quality, **kwargs)


def layers_of(loss, step):
    """Losses of the layers of a decoder in a step, which it counts."""
    with loss.step():
        return [call(loss, *batch(10 * step + layer)) for layer in range(LAYERS)]


@pytest.mark.parametrize("equalized, baseline", [(EFL, FocalLoss), (SoftmaxEQL, SoftmaxCE)])
def test_the_first_step_is_the_baseline_in_all_calls_and_the_second_in_none(equalized, baseline):
    loss, plain = build(equalized), build(baseline)
    torch.testing.assert_close(layers_of(loss, 0), layers_of(plain, 0), rtol=1e-6, atol=0)
    frozen = copy.deepcopy(loss).eval()
    second = layers_of(loss, 1)
    assert all(a != b for a, b in zip(second, layers_of(plain, 1)))
    expected = [call(frozen, *batch(10 + layer)) for layer in range(LAYERS)]  # alike
    torch.testing.assert_close(second, expected, rtol=0, atol=0)


@pytest.mark.parametrize("loss_class", WITH_STATE)
def test_a_step_of_one_call_is_that_call(loss_class):
    """But for the samples of the Seesaw loss, where a call alone has those of its batch too."""
    alone, stepped = build(loss_class), build(loss_class)
    for seed in range(3):
        expected = call(alone, *batch(seed))
        with stepped.step():
            found = call(stepped, *batch(seed))
        assert torch.equal(found, expected) != (loss_class is SeesawLoss)
        torch.testing.assert_close(stepped.state_dict(), alone.state_dict(), rtol=0, atol=0)


class Trained:
    """A linear classifier that learns from batches of 8, each cut into parts."""

    def __init__(self, loss_class, parts, whole_normalizer):
        self.loss, self.parts, self.whole = build(loss_class), parts, whole_normalizer
        self.loss.monitor()
        generator = torch.Generator().manual_seed(0)
        self.features = torch.randn(20, 8, 5, generator=generator)
        self.labels = torch.randint(C, (20, 8), generator=generator)
        self.weight = torch.zeros(5, C, requires_grad=True)
        self.gradients = []

    def step(self, i):
        batches = zip(self.features[i].chunk(self.parts), self.labels[i].chunk(self.parts))
        divisor = 1 if self.whole else self.parts
        normalizer = 8.0 if self.whole else None
        self.weight.grad = None
        with self.loss.step(parts=divisor):
            for features, labels in batches:
                value = call(self.loss, features @ self.weight, labels, normalizer=normalizer)
                (value / divisor).backward()
        self.gradients.append(self.weight.grad)
        self.weight.data -= self.weight.grad


@pytest.mark.parametrize("whole_normalizer", [False, True], ids=["averaged", "added"])
@pytest.mark.parametrize("loss_class", [*WITH_STATE, *MONITORED])
def test_one_batch_of_8_is_2_of_4_and_4_of_2(loss_class, whole_normalizer):
    runs = [Trained(loss_class, parts, whole_normalizer) for parts in (1, 2, 4)]
    close = partial(torch.testing.assert_close, rtol=1e-5, atol=1e-6)
    for i in range(20):
        for run in runs:
            run.step(i)
    whole, *others = runs
    for run in others:
        close(run.loss.state_dict(), whole.loss.state_dict(), rtol=1e-6)
        close(run.gradients, whole.gradients)
        close(run.weight, whole.weight)
    assert all(value.min() > 0 for value in whole.loss.state_dict().values())


@pytest.mark.parametrize("loss_class", WITH_STATE)
def test_calls_that_do_not_count_have_the_weights_of_the_others(loss_class):
    loss = build(loss_class)
    layers_of(loss, 0)
    frozen = copy.deepcopy(loss)
    with loss.step(), loss.uncounted():
        first = call(loss, *batch(3))
    with loss.uncounted():
        alone = call(loss, *batch(3))
    assert first == alone == call(frozen.eval(), *batch(3))
    torch.testing.assert_close(loss.state_dict(), frozen.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("loss_class", WITH_STATE)
def test_a_step_has_one_collective_whoever_calls_how_often(loss_class, monkeypatch):
    sent = []

    def of_two_ranks(value):
        sent.append(value.shape)
        return 2 * value

    monkeypatch.setattr(step_module, "sum_over_ranks", of_two_ranks)
    busy, idle = build(loss_class), build(loss_class)
    for loss in (busy, idle):
        loss.monitor()
    layers_of(busy, 0)
    with idle.step():
        pass
    assert len(sent) == 2 and sent[0] == sent[1]
    assert all(value.min() > 0 for value in busy.state_dict().values())


def test_old_sums_decay_once_a_step():
    loss = build(EQLv2, decay=0.5)
    loss.statistics.update(torch.ones(C), torch.ones(C))
    with loss.step():
        for _ in range(LAYERS):
            call(loss, torch.full((1, C), -200.0), torch.tensor([-1]))
    assert loss.statistics.pos_grad.tolist() == [0.5] * C


@pytest.mark.parametrize("loss_class", WITH_STATE)
def test_a_step_that_an_error_ends_leaves_no_trace(loss_class):
    loss, before = build(loss_class), copy.deepcopy(build(loss_class).state_dict())
    with pytest.raises(KeyError), step_of(loss):
        call(loss, *batch())
        raise KeyError
    torch.testing.assert_close(loss.state_dict(), before, rtol=0, atol=0)
    call(loss, *batch())
    assert sum(value.sum() for value in loss.state_dict().values()) > 0


@pytest.mark.parametrize("loss_class", WITH_STATE)
def test_evaluated_and_gradient_free_steps_collect_nothing(loss_class):
    loss = build(loss_class)
    with torch.no_grad():
        layers_of(loss, 0)
    loss.eval()
    layers_of(loss, 0)
    assert not any(value.any() for value in loss.state_dict().values())


def test_a_step_in_a_longer_one_belongs_to_it():
    whole, nested = build(EFL), build(EFL)
    with whole.step(parts=2):
        call(whole, *batch(0))
        call(whole, *batch(1))
    with step_of(torch.nn.ModuleList([nested]), parts=2):
        for seed in range(2):
            with nested.step():
                call(nested, *batch(seed))
    torch.testing.assert_close(nested.state_dict(), whole.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("parts", [0, 1.5, "2", True])
def test_impossible_parts_are_refused(parts):
    with pytest.raises(InputError, match=f"^parts of a step is {parts}: give the number of micro-"):
        with build(EFL).step(parts):
            pass


def recomputed(loss, seed):
    logits, targets = batch(seed)
    return checkpoint(lambda z: call(loss, z, targets), logits.requires_grad_(), use_reentrant=True)


@pytest.mark.parametrize("loss_class", WITH_STATE)
def test_the_reentrant_kind_of_checkpointing_counts_once_inside_a_step(loss_class):
    plain, reentrant = build(loss_class), build(loss_class)
    for _ in range(2):
        with plain.step(), reentrant.step():
            for seed in range(2):
                expected, found = call(plain, *batch(seed)), recomputed(reentrant, seed)
                assert torch.equal(found, expected)
                found.backward()
    torch.testing.assert_close(reentrant.state_dict(), plain.state_dict(), rtol=0, atol=0)
    recomputed(reentrant, 0).backward()  # a call alone


@pytest.mark.parametrize("loss_class", WITH_STATE)
def test_a_recomputation_after_the_end_of_its_step_is_refused(loss_class):
    loss = build(loss_class)
    with loss.step():
        value = recomputed(loss, 0)
    with pytest.raises(InputError, match=f"^{loss_class.__name__} .* after its step has ended"):
        value.backward()


@pytest.mark.parametrize("loss_class", WITH_STATE)
def test_a_step_inside_of_the_checkpointed_part_is_that_without(loss_class):
    plain, reentrant = build(loss_class), build(loss_class)

    def head(z, loss, targets):
        with loss.step():
            return call(loss, z, targets) + call(loss, 2 * z, targets)

    logits, targets = batch()
    head(logits, plain, targets)
    logits.requires_grad_()
    checkpoint(head, logits, reentrant, targets, use_reentrant=True).backward()
    torch.testing.assert_close(reentrant.state_dict(), plain.state_dict(), rtol=0, atol=0)


def train(rank, folder):
    """Four calls a step in rank 0, none in rank 1 at the second step, two there at others."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    for loss_class in (*WITH_STATE, BalancedSoftmax):
        loss = build(loss_class)
        loss.monitor()
        for i in range(3):
            with loss.step():
                for seed in calls_of(rank, i):
                    call(loss, *batch(seed), normalizer=8.0)
        torch.save(loss.state_dict(), f"{folder}/{loss_class.__name__}{rank}")
    end_process_group()


def calls_of(rank, i):
    seeds = range(10 * i, 10 * i + 6)
    return seeds[:4] if rank == 0 else seeds[4:] if i != 1 else []


@pytest.mark.slow
def test_two_processes_are_one_also_where_one_makes_no_call(tmp_path):
    mp.start_processes(train, (str(tmp_path),), nprocs=2, start_method="forkserver")
    for loss_class in (*WITH_STATE, BalancedSoftmax):
        loss = build(loss_class)
        loss.monitor()
        shares = 2 if loss_class is SoftmaxEQL else 1  # it takes the mean of the processes
        for i in range(3):
            with loss.step(parts=shares):
                for seed in [*calls_of(0, i), *calls_of(1, i)]:
                    call(loss, *batch(seed), normalizer=8.0)
        for rank in range(2):
            found = torch.load(tmp_path / f"{loss_class.__name__}{rank}")
            torch.testing.assert_close(found, dict(loss.state_dict()), rtol=1e-6, atol=0)

"""The Seesaw loss in a box head: classes on the foreground rows, and the objectness."""

import math

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F
from torch import nn

from eql_d2 import SeesawLoss
from eql_d2.distributed import end_process_group
from tests.losses.test_seesaw import COUNT, with_samples
from tests.losses.test_softmax_eql import C, batch, value_and_gradient
from tests.reference.seesaw import ReferenceSeesaw, two_columns


def objectness(d, targets):
    """Binary cross entropy of sigmoid(d), summed, 1 on background rows."""
    return F.binary_cross_entropy_with_logits(d, (targets == C).to(d.dtype), reduction="sum")


def test_a_box_head_without_exponents_is_cross_entropy_and_objectness():
    """Both over the number of all rows."""
    logits, targets = batch(columns=C + 1, dtype=torch.float64)
    is_foreground = targets < C
    value, gradient = value_and_gradient(with_samples(p=0.0, q=0.0), logits, targets)
    of_classes = F.cross_entropy(logits[is_foreground, :C], targets[is_foreground], reduction="sum")
    expected = (of_classes + objectness(math.sqrt(2) * logits[:, C], targets)) / len(targets)
    torch.testing.assert_close(value, expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, logits)[0])


def test_one_objectness_column_trains_as_the_two_of_the_official_code():
    """The same d = z_bg - z_fg after each step of SGD with momentum and weight decay, and the same
    norm of the gradient, where that is clipped. The reference has the two columns."""
    generator = torch.Generator().manual_seed(0)
    wide = nn.Parameter(0.01 * torch.randn(8, C + 2, generator=generator, dtype=torch.float64))
    start = wide.detach()
    of_d = start[:, C + 1 :] - start[:, C : C + 1]
    narrow = nn.Parameter(torch.cat([start[:, :C], of_d / math.sqrt(2)], dim=1))
    settings = {"lr": 0.5, "momentum": 0.9, "weight_decay": 1e-2}
    of_wide, of_narrow = (torch.optim.SGD([w], **settings) for w in (wide, narrow))
    loss, reference = SeesawLoss(C), ReferenceSeesaw(C, objectness=True)
    for _ in range(30):
        features = torch.randn(12, 8, generator=generator, dtype=torch.float64)
        targets = torch.randint(C + 1, (12,), generator=generator)
        of_narrow.zero_grad()
        loss(features @ narrow, targets).backward()
        wide.grad = features.t() @ reference.step(features @ wide, targets)[1]
        torch.testing.assert_close(narrow.grad.norm(), wide.grad.norm())
        of_narrow.step()
        of_wide.step()
        d, expected = math.sqrt(2) * narrow[:, C], wide[:, C + 1] - wide[:, C]
        torch.testing.assert_close(d, expected, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(narrow[:, :C], wide[:, :C], rtol=1e-9, atol=1e-12)
    assert (d - of_d[:, 0]).abs().max() > 0.1  # it has moved


def test_scores_equal_the_reference():
    logits, _ = batch(columns=C + 1, dtype=torch.float64)
    loss, reference = with_samples(), ReferenceSeesaw(C, objectness=True)
    torch.testing.assert_close(loss.scores(logits), reference.scores(two_columns(logits.detach())))
    classes = logits[:, :C].detach()
    torch.testing.assert_close(loss.scores(classes), classes.softmax(1))


def test_monitored_it_trains_a_box_head_the_same_to_the_last_bit():
    plain, monitored = with_samples(), with_samples()
    monitored.monitor()
    for seed in range(3):
        logits, targets = batch(columns=C + 1, seed=seed)
        targets[:3] = -1
        expected = value_and_gradient(plain, logits, targets)
        found = value_and_gradient(monitored, logits, targets)
        torch.testing.assert_close(found, expected, rtol=0, atol=0)
    assert plain.statistics is None and monitored.statistics.neg_grad.min() > 0


def test_an_empty_batch_of_a_box_head_has_zero_loss_and_gradient():
    logits = torch.zeros(0, C + 1, requires_grad=True)
    loss = with_samples()
    value, gradient = value_and_gradient(loss, logits, torch.zeros(0, dtype=torch.long))
    assert value == 0 and gradient.shape == logits.shape and loss.class_count.tolist() == COUNT


def test_a_batch_of_background_trains_the_objectness_alone():
    logits, _ = batch(columns=C + 1)
    targets = torch.full((50,), C)
    loss = with_samples()
    value, gradient = value_and_gradient(loss, logits, targets)
    torch.testing.assert_close(value, objectness(math.sqrt(2) * logits[:, C], targets) / 50)
    assert gradient[:, :C].abs().max() == 0 and (gradient[:, C] < 0).all()
    assert loss.class_count.tolist() == COUNT


def test_ignored_rows_of_a_box_head_cost_nothing_and_count_nothing():
    logits, targets = batch(columns=C + 1)
    targets[::3] = -1
    kept = targets >= 0
    loss = with_samples()
    value, gradient = value_and_gradient(loss, logits, targets)
    torch.testing.assert_close(value, with_samples()(logits[kept], targets[kept]))
    assert gradient[~kept].abs().max() == 0 and gradient[kept].abs().sum(1).min() > 0
    assert loss.class_count.sum() == sum(COUNT) + (targets[kept] < C).sum()


def steps():
    return [batch(columns=C + 1, seed=seed) for seed in range(4)]


def train(rank, shares, port_file, result_file):
    """Rank 0 trains on the first ``shares[0]`` rows of each step, rank 1 on the next."""
    dist.init_process_group(
        "gloo", init_method=f"file://{port_file}", rank=rank, world_size=len(shares)
    )
    loss = SeesawLoss(C)
    loss.monitor()
    rows = slice(sum(shares[:rank]), sum(shares[: rank + 1]))
    # Over the rows of all processes, as the joined batch
    values = [float(loss(z[rows], y[rows], normalizer=50.0)) for z, y in steps()]
    torch.save((values, loss.state_dict()), f"{result_file}{rank}")
    end_process_group()


@pytest.mark.parametrize("shares", [(25, 25), (50, 0)], ids=["halves", "one without rows"])
@pytest.mark.slow
def test_two_processes_count_and_weigh_as_one_with_all_rows(tmp_path, shares):
    mp.spawn(train, (shares, tmp_path / "store", f"{tmp_path}/result"), nprocs=2)
    loss = SeesawLoss(C)
    loss.monitor()
    expected = [float(loss(z, y, normalizer=50.0)) for z, y in steps()]
    results = [torch.load(f"{tmp_path}/result{rank}") for rank in range(2)]
    for _, state in results:
        torch.testing.assert_close(state, loss.state_dict(), rtol=1e-6, atol=0)
        assert torch.equal(state["class_count"], loss.class_count)
    assert [a + b for a, b in zip(*(values for values, _ in results))] == pytest.approx(expected)

import inspect

import pytest
import torch
import torch.nn.functional as F
from fvcore.nn.precise_bn import update_bn_stats

from eql_d2 import EQLv2, InputError
from eql_d2.losses.eqlv2 import gradient_guided_weights

NUM_CLASSES = 6


def batch(rows=50, seed=0, num_classes=NUM_CLASSES):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(rows, num_classes + 1, generator=generator) - 2
    targets = torch.randint(num_classes + 1, (rows,), generator=generator)
    return logits, targets


def trained(steps=5, **kwargs):
    loss = EQLv2(NUM_CLASSES, **kwargs)
    for seed in range(steps):
        loss(*batch(seed=seed))
    return loss


def test_weights_have_the_values_of_the_official_defaults():
    ratio = torch.tensor([0, 0.5, 0.8, 1.0, 100.0], dtype=torch.float64)
    pos_weight, neg_weight = gradient_guided_weights(ratio, gamma=12, mu=0.8, alpha=4)
    expected = torch.tensor([6.77e-5, 0.0266, 0.5, 0.9168, 1], dtype=torch.float64)
    torch.testing.assert_close(neg_weight, expected, rtol=2e-3, atol=0)
    torch.testing.assert_close(pos_weight, 1 + 4 * (1 - expected), rtol=2e-3, atol=0)


def test_a_lower_ratio_lifts_positives_and_damps_negatives():
    pos_weight, neg_weight = gradient_guided_weights(torch.linspace(0, 2, 9), 12, 0.8, 4)
    assert (pos_weight.diff() < 0).all() and (neg_weight.diff() > 0).all()


def test_first_step_is_plain_sigmoid_cross_entropy():
    logits, targets = batch()
    expected = F.binary_cross_entropy_with_logits(
        logits, F.one_hot(targets, NUM_CLASSES + 1).float(), reduction="sum"
    )
    torch.testing.assert_close(EQLv2(NUM_CLASSES)(logits, targets), expected / len(logits))


def test_weights_of_a_step_use_the_steps_before_it():
    loss = EQLv2(NUM_CLASSES)
    first, second = loss(*batch()), loss(*batch())
    assert first != second
    resumed = EQLv2(NUM_CLASSES)
    resumed.load_state_dict(loss.state_dict())
    torch.testing.assert_close(resumed(*batch()), loss(*batch()), rtol=0, atol=0)


def test_t1_trains_in_a_single_process():
    assert trained().statistics.neg_grad.min() > 0


def test_t2_test_scores_are_the_activation_that_was_trained():
    loss, logits = EQLv2(NUM_CLASSES), torch.zeros(NUM_CLASSES + 1, NUM_CLASSES + 1)
    targets = torch.arange(NUM_CLASSES + 1)
    logits.requires_grad_()
    optimizer = torch.optim.SGD([logits], lr=5.0)
    for _ in range(2000):
        optimizer.zero_grad()
        loss(logits, targets).backward()
        optimizer.step()
    scores = loss.scores(logits.detach())
    foreground = scores[:NUM_CLASSES]
    assert scores.shape == (NUM_CLASSES + 1, NUM_CLASSES)
    assert (foreground.diagonal() > 0.9).all() and scores[NUM_CLASSES].max() < 0.1
    p = logits.detach().sigmoid()
    torch.testing.assert_close(scores, p[:, :-1] * (1 - p[:, -1:]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_sure_background_leaves_a_small_score_in_half_precision(dtype):
    """In half precision p_C is 1 from a logit of 9 on, and all scores would be 0."""
    scores = EQLv2(1).scores(torch.tensor([[30.0, 10.0]], dtype=dtype))
    torch.testing.assert_close(scores, torch.tensor([[4.54e-5]]), rtol=1e-3, atol=0)


def test_t7_wrong_number_of_columns_is_refused():
    with pytest.raises(InputError, match=r"\(4, 8\).*with K = 6 or 7"):
        EQLv2(NUM_CLASSES)(torch.zeros(4, NUM_CLASSES + 2), torch.zeros(4, dtype=torch.long))


@pytest.mark.parametrize(
    "changed", [{"gamma": 3.0}, {"mu": 0.1}, {"alpha": 1.0}, {"objectness": False}]
)
def test_t9_every_argument_has_an_effect_on_the_loss(changed):
    loss = trained()
    other = EQLv2(NUM_CLASSES, **changed)
    other.load_state_dict(loss.state_dict())
    assert loss(*batch(seed=9)) != other(*batch(seed=9))
    tested = {"num_classes", "gamma", "mu", "alpha", "objectness", "prior_prob", "decay"}
    assert set(inspect.signature(EQLv2.__init__).parameters) - {"self"} == tested


def test_t10_nothing_of_the_last_batch_is_kept():
    loss = trained()
    tensors = [v for m in loss.modules() for v in vars(m).values() if torch.is_tensor(v)]
    assert not tensors
    assert {name for name, _ in loss.named_buffers()} == {
        "statistics.pos_grad",
        "statistics.neg_grad",
    }
    assert not any(b.requires_grad for b in loss.buffers())


def test_objectness_column_is_trained_alone_and_not_counted():
    loss = EQLv2(NUM_CLASSES)
    logits = torch.zeros(3, NUM_CLASSES + 1, requires_grad=True)
    loss(logits, torch.full((3,), NUM_CLASSES)).backward()
    assert (logits.grad[:, -1] < 0).all() and (logits.grad[:, :-1] > 0).all()
    assert loss.statistics.pos_grad.sum() == 0
    torch.testing.assert_close(loss.statistics.neg_grad, torch.full((6,), 1.5).double())


def test_without_objectness_column_c_gets_no_gradient():
    loss = EQLv2(NUM_CLASSES, objectness=False)
    logits, targets = batch()
    logits.requires_grad_()
    loss(logits, targets).backward()
    assert logits.grad[:, -1].abs().max() == 0
    torch.testing.assert_close(loss.scores(logits), logits[:, :-1].sigmoid())


def test_ignored_rows_do_not_exist():
    logits, targets = batch()
    targets[::3] = -1
    with_ignored, without = EQLv2(NUM_CLASSES), EQLv2(NUM_CLASSES)
    logits[targets == -1] = float("nan")
    valid = targets >= 0
    torch.testing.assert_close(
        with_ignored(logits, targets), without(logits[valid], targets[valid])
    )
    torch.testing.assert_close(with_ignored.statistics.neg_grad, without.statistics.neg_grad)


@pytest.mark.parametrize("targets", [[], [NUM_CLASSES] * 8])
def test_empty_and_all_background_batches_are_finite(targets):
    loss = trained()
    before = loss.statistics.pos_grad.clone()
    logits = torch.zeros(len(targets), NUM_CLASSES + 1, requires_grad=True)
    value = loss(logits, torch.tensor(targets, dtype=torch.long))
    value.backward()
    assert value.isfinite() and logits.grad.isfinite().all()
    assert torch.equal(loss.statistics.pos_grad, before)


def test_precise_bn_evaluation_and_ema_forwards_do_not_count():
    class Head(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.loss = torch.nn.BatchNorm1d(NUM_CLASSES + 1), EQLv2(NUM_CLASSES)

        def forward(self, data):
            return self.loss(self.norm(data[0]), data[1])

    head = Head().train()
    update_bn_stats(head, [batch(), batch(seed=1)], num_iters=2)
    assert head.norm.running_mean.abs().sum() > 0
    head.eval()
    head(batch())
    assert head.loss.statistics.neg_grad.sum() == 0


def test_bf16_autocast_accumulates_as_float32():
    features, targets = torch.randn(400, 32), torch.randint(NUM_CLASSES + 1, (400,))
    layer = torch.nn.Linear(32, NUM_CLASSES + 1)
    full, half = EQLv2(NUM_CLASSES), EQLv2(NUM_CLASSES)
    for _ in range(5):
        full(layer(features), targets)
        with torch.autocast("cpu", torch.bfloat16):
            logits = layer(features)
            value = half(logits, targets)
        assert logits.dtype == torch.bfloat16 and value.dtype == torch.float32
        value.backward()
    assert layer.weight.grad.isfinite().all()
    torch.testing.assert_close(
        half.statistics.pos_grad, full.statistics.pos_grad, rtol=0.01, atol=0
    )
    torch.testing.assert_close(
        half.statistics.neg_grad, full.statistics.neg_grad, rtol=0.01, atol=0
    )


@pytest.mark.parametrize("argument", ["gamma", "alpha"])
def test_negative_arguments_are_refused(argument):
    with pytest.raises(InputError, match=f"{argument} of EQLv2 is -1"):
        EQLv2(NUM_CLASSES, **{argument: -1.0})

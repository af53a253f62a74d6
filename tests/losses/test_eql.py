import pytest
import torch
import torch.nn.functional as F
from detectron2.config import get_cfg

from eql_d2 import EQL, SEQL, InputError, InstanceCountEQL, SigmoidCE, SoftmaxCE, add_eql_config
from eql_d2.losses import build_loss

NUM_CLASSES = 4
# Classes 2 and 3 are the tail.
FREQUENCY = torch.tensor([0.5, 0.1, 0.001, 0.0])


def batch(seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(60, NUM_CLASSES + 1, generator=generator)
    return logits, torch.randint(NUM_CLASSES + 1, (60,), generator=generator)


def gradient(loss, logits, targets):
    logits = logits.clone().requires_grad_()
    loss(logits, targets).backward()
    return logits.grad


def test_eql_without_tail_is_sigmoid_cross_entropy():
    loss, plain = EQL(NUM_CLASSES, FREQUENCY, lambda_=0.0), SigmoidCE(NUM_CLASSES)
    torch.testing.assert_close(loss(*batch()), plain(*batch()))
    torch.testing.assert_close(gradient(loss, *batch()), gradient(plain, *batch()))
    logits, targets = batch()
    y = F.one_hot(targets, NUM_CLASSES + 1)[:, :-1].float()
    expected = F.binary_cross_entropy_with_logits(logits[:, :-1], y, reduction="sum") / 60
    torch.testing.assert_close(plain(logits, targets), expected)


def test_eql_foreground_of_other_classes_does_not_push_down_the_tail():
    grad = gradient(EQL(NUM_CLASSES, FREQUENCY, lambda_=0.01), torch.zeros(3, 5), torch.arange(3))
    assert grad[:2, 2:4].abs().max() == 0
    assert grad[2, 2] < 0 and grad[2, 3] == 0 and (grad[2, :2] > 0).all()


def test_eql_background_pushes_down_every_class():
    loss = EQL(NUM_CLASSES, FREQUENCY, lambda_=0.01)
    grad = gradient(loss, torch.zeros(1, 5), torch.tensor([NUM_CLASSES]))
    assert (grad[:, :-1] > 0).all()


def test_t7_column_c_of_eql_is_unused():
    loss = EQL(NUM_CLASSES, FREQUENCY)
    assert gradient(loss, *batch())[:, -1].abs().max() == 0
    assert loss.scores(batch()[0]).shape == (60, NUM_CLASSES)
    with pytest.raises(InputError, match=r"with K = 4 or 5"):
        loss(torch.zeros(2, NUM_CLASSES + 2), torch.zeros(2, dtype=torch.long))


@pytest.mark.parametrize("changed", [{"lambda_": 0.0}, {"gamma": 0.0}])
def test_seql_without_tail_or_without_gamma_is_softmax_cross_entropy(changed):
    loss = SEQL(NUM_CLASSES, FREQUENCY, **changed)
    torch.testing.assert_close(loss(*batch()), F.cross_entropy(*batch()))
    torch.testing.assert_close(SoftmaxCE(NUM_CLASSES)(*batch()), F.cross_entropy(*batch()))


def test_seql_with_gamma_one_leaves_the_tail_out_of_the_denominator():
    loss = SEQL(NUM_CLASSES, FREQUENCY, lambda_=0.01, gamma=1.0)
    logits = batch()[0][:3]
    targets = torch.tensor([0, 2, NUM_CLASSES])
    kept = [[0, 1, 4], [0, 1, 2, 4], [0, 1, 2, 3, 4]]
    expected = sum(torch.logsumexp(row[k], 0) - row[t] for row, t, k in zip(logits, targets, kept))
    torch.testing.assert_close(loss(logits, targets), expected / 3)


def test_seql_draws_anew_for_each_element_with_probability_gamma():
    loss = SEQL(NUM_CLASSES, FREQUENCY, lambda_=0.01, gamma=0.3)
    torch.manual_seed(0)
    grad = gradient(loss, torch.zeros(20000, 5), torch.zeros(20000, dtype=torch.long))
    left_out = grad[:, 2:4] == 0
    assert left_out.float().mean(0).tolist() == pytest.approx([0.3, 0.3], abs=0.02)
    assert (left_out[:, 0] != left_out[:, 1]).float().mean() == pytest.approx(0.42, abs=0.02)


def test_seql_classifies_images_without_a_background_column():
    loss = SEQL(NUM_CLASSES, FREQUENCY, gamma=0.0)
    logits, targets = torch.randn(8, NUM_CLASSES), torch.randint(NUM_CLASSES, (8,))
    torch.testing.assert_close(loss(logits, targets), F.cross_entropy(logits, targets))


@pytest.mark.parametrize("cls", [EQL, SEQL])
def test_t5_extreme_logits_stay_finite(cls):
    loss = cls(NUM_CLASSES, FREQUENCY, lambda_=0.01)
    logits = 200 * torch.randn(60, 5).sign()
    assert loss(logits, batch()[1]).isfinite()
    assert gradient(loss, logits, batch()[1]).isfinite().all()


@pytest.mark.parametrize("cls", [EQL, SEQL])
@pytest.mark.parametrize("targets", [[], [NUM_CLASSES] * 3, [-1, -1]])
def test_empty_background_and_ignored_batches_are_finite(cls, targets):
    loss = cls(NUM_CLASSES, FREQUENCY, lambda_=0.01)
    logits, targets = torch.zeros(len(targets), 5), torch.tensor(targets, dtype=torch.long)
    assert loss(logits, targets).isfinite()
    assert gradient(loss, logits, targets).isfinite().all()


@pytest.mark.parametrize("prepared", [True, False])
@pytest.mark.parametrize("cls, kwargs", [(EQL, {}), (SEQL, {"gamma": 1.0})])
def test_t8_frequencies_are_given_not_built_in(cls, kwargs, prepared):
    """They are got once, by ``prepare_training`` or else by the first step."""
    calls = []

    def count():
        calls.append(1)
        return FREQUENCY

    loss = cls(NUM_CLASSES, count, lambda_=0.01, **kwargs)
    loss.eval().scores(batch()[0])
    loss.train().scores(batch()[0])
    assert not calls and not loss.state_dict()  # test needs no training annotations
    if prepared:
        loss.prepare_training()
        assert len(calls) == 1
    given = cls(NUM_CLASSES, FREQUENCY, lambda_=0.01, **kwargs)
    for _ in range(2):
        assert loss(*batch()) == given(*batch())
    for other in (loss, given):
        other.prepare_training()
    assert len(calls) == 1


@pytest.mark.parametrize(
    "frequency, message",
    [
        (torch.ones(3), r"shape \(3,\): with 4 classes"),
        (torch.tensor([5.0, 1, 1, 1]), "shares of images, from 0 to 1"),
        (None, "no image_frequency"),
    ],
)
@pytest.mark.parametrize("cls", [EQL, SEQL])
def test_wrong_frequencies_are_refused(cls, frequency, message):
    with pytest.raises(InputError, match=message):
        cls(NUM_CLASSES, frequency)


def test_instance_count_eql_shields_the_classes_of_few_instances():
    """Not those of few images; at lambda itself a class is no longer tail."""
    loss = InstanceCountEQL(NUM_CLASSES, torch.tensor([9000, 1653, 1652, 1651]))
    by_images = EQL(NUM_CLASSES, torch.tensor([0.5, 0.5, 0.5, 0.1]), lambda_=0.2)
    assert loss(*batch()) == by_images(*batch())
    torch.testing.assert_close(gradient(loss, *batch()), gradient(by_images, *batch()))
    assert not loss.state_dict()


def test_instance_count_eql_is_built_with_the_counts_of_the_training_data():
    cfg = get_cfg()
    add_eql_config(cfg)
    cfg.merge_from_list(["MODEL.EQL.LOSS", "InstanceCountEQL"])
    cfg.merge_from_list(["MODEL.EQL.INSTANCECOUNTEQL.LAMBDA", "10"])
    counts = {"class_count": lambda: torch.tensor([30, 20, 10, 5])}
    loss = build_loss(cfg, NUM_CLASSES, image_frequency=lambda: 1 / 0, **counts)
    assert loss.lambda_ == 10 and loss.prior_prob == 0.001
    given = EQL(NUM_CLASSES, torch.tensor([1, 1, 1, 0.0]), lambda_=0.5)
    assert loss(*batch()) == given(*batch())


@pytest.mark.parametrize(
    "count, message",
    [
        (torch.ones(3), r"class_count of InstanceCountEQL has shape \(3,\): with 4 classes"),
        (torch.tensor([5, 1, 1, -1]), "values down to -1: give numbers of instances"),
        (None, "no class_count: give the training instances of each class, .*get_class_count"),
    ],
)
def test_wrong_counts_are_refused(count, message):
    with pytest.raises(InputError, match=message):
        InstanceCountEQL(NUM_CLASSES, count)


def test_wrong_arguments_are_refused():
    with pytest.raises(InputError, match="lambda_ of InstanceCountEQL is -1: give a number of"):
        InstanceCountEQL(NUM_CLASSES, torch.ones(4), lambda_=-1)
    with pytest.raises(InputError, match="lambda_ of EQL is -1"):
        EQL(NUM_CLASSES, FREQUENCY, lambda_=-1)
    with pytest.raises(InputError, match="gamma of SEQL is 1.5"):
        SEQL(NUM_CLASSES, FREQUENCY, gamma=1.5)
    with pytest.raises(InputError, match="prior_prob is 0"):
        EQL(NUM_CLASSES, FREQUENCY, prior_prob=0)

import math

import pytest
import torch
import torch.nn.functional as F
from detectron2.config import get_cfg
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from eql_d2 import InputError, SeesawLoss, add_eql_config
from eql_d2.losses import build_loss, seesaw
from tests.losses.test_parity import relative_difference
from tests.losses.test_softmax_eql import C, batch, value_and_gradient
from tests.reference.seesaw import ReferenceSeesaw, two_columns

COUNT = [900.0, 200, 50, 5, 1, 0]


def with_samples(count=COUNT, **kwargs):
    loss = SeesawLoss(len(count), **kwargs)
    loss.class_count += torch.tensor(count, dtype=torch.float64)
    return loss


def test_without_exponents_it_is_cross_entropy():
    logits, targets = batch()
    found = value_and_gradient(with_samples(p=0.0, q=0.0), logits, targets)
    expected = value_and_gradient(F.cross_entropy, logits, targets)
    torch.testing.assert_close(found, expected)


def test_equal_samples_without_compensation_are_cross_entropy():
    logits, targets = batch()
    loss = with_samples(q=0.0)
    loss.class_count += 1e6 - loss.class_count - torch.bincount(targets, minlength=C)
    torch.testing.assert_close(loss(logits, targets), F.cross_entropy(logits, targets))
    assert loss.class_count.tolist() == [1e6] * C


def test_the_batch_at_hand_counts_before_its_loss():
    logits, targets = torch.zeros(4, C), torch.tensor([0, 0, 0, 1])
    loss = SeesawLoss(C, p=1.0, q=0.0)
    # Class 0 has 3 samples, the others count as 1: e^0 / (e^0 + 5 e^0 / 3), and all alike for 1.
    expected = (3 * math.log(1 + 5 / 3) + math.log(6)) / 4
    assert float(loss(logits, targets)) == pytest.approx(expected)
    assert loss.class_count.tolist() == [3, 1, 0, 0, 0, 0]


def test_rarer_classes_are_pushed_down_less():
    gradient = value_and_gradient(
        with_samples(q=0.0), torch.zeros(1, C, requires_grad=True), torch.tensor([0])
    )[1][0, 1:]
    assert (gradient > 0).all() and (gradient.diff()[:-1] < 0).all()
    assert gradient[-1] == gradient[-2]  # no sample counts as one


def test_mistakes_are_pushed_down_more():
    logits = torch.tensor([[0.0, 2.0, -1.0, 0, 0, 0]], requires_grad=True)
    compensated = value_and_gradient(with_samples([1.0] * C), logits, torch.tensor([0]))[1]
    plain = value_and_gradient(with_samples([1.0] * C, q=0.0), logits, torch.tensor([0]))[1]
    assert compensated[0, 1] > plain[0, 1] and compensated[0, 0] < plain[0, 0]


def reference_trajectory(background, **kwargs):
    """200 steps of SGD: our loss, the reference and their largest relative difference."""
    loss = SeesawLoss(C, **kwargs)
    reference = ReferenceSeesaw(C, objectness=background, **kwargs)
    generator = torch.Generator().manual_seed(0)
    weight, worst = torch.zeros(8, C + background), 0.0
    share = torch.logspace(0, -2, C + background)
    loss.monitor()
    for _ in range(200):
        targets = torch.multinomial(share.roll(1), 16, replacement=True, generator=generator)
        features = torch.randn(16, 8, generator=generator) + F.one_hot(targets, 8)
        targets[0] = -1
        logits = (features @ weight).requires_grad_()
        value, gradient = value_and_gradient(loss, logits, targets)
        if background:
            expected, wide = reference.step(two_columns(logits), targets)
            expected_gradient = torch.cat([wide[:, :C], math.sqrt(2) * wide[:, C + 1 :]], dim=1)
        else:
            expected, expected_gradient = reference.step(logits, targets)
        worst = max(worst, relative_difference(value.detach(), expected))
        worst = max(worst, relative_difference(gradient, expected_gradient))
        weight -= 0.5 * features.t() @ gradient
    return loss, reference, worst


@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize("kwargs", [{}, {"p": 0.3, "q": 1.0, "eps": 0.1}])
@pytest.mark.slow
def test_200_steps_equal_the_reference(background, kwargs):
    loss, reference, worst = reference_trajectory(background, **kwargs)
    assert worst <= 1e-5
    assert loss.class_count.tolist() == reference.seen and min(reference.seen) > 0
    assert relative_difference(loss.statistics.pos_grad, reference.pos_grad) <= 1e-5
    assert relative_difference(loss.statistics.neg_grad, reference.neg_grad) <= 1e-5


@pytest.mark.parametrize("columns", [C, C + 1])
def test_closed_form_statistics_are_the_gradients_of_autograd_in_float64(columns):
    logits, targets = batch(columns=columns, dtype=torch.float64)
    loss = with_samples()
    loss.monitor()
    absolute = value_and_gradient(loss, logits, targets)[1][targets < C, :C].abs()
    y = F.one_hot(targets[targets < C], C)
    statistics = loss.statistics
    torch.testing.assert_close(statistics.pos_grad, (absolute * y).sum(0), rtol=1e-10, atol=0)
    torch.testing.assert_close(statistics.neg_grad, (absolute * (1 - y)).sum(0), rtol=1e-10, atol=0)


@pytest.mark.parametrize("columns", [C, C + 1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_logits_of_200_stay_finite(dtype, columns):
    logits = torch.zeros(3, columns, dtype=dtype)
    logits[0, :2] = torch.tensor([-200.0, 200])
    logits[1, :2] = torch.tensor([200.0, -200])
    logits[:, -1] = torch.tensor([200.0, -200, 200])
    logits.requires_grad_()
    loss = with_samples()
    loss.monitor()
    value, gradient = value_and_gradient(loss, logits, torch.tensor([0, columns - 1, 0]))
    assert value.isfinite() and gradient.isfinite().all() and gradient.dtype == dtype
    assert loss.statistics.neg_grad.isfinite().all() and loss.scores(logits).isfinite().all()


@pytest.mark.parametrize("columns", [C, C + 1])
def test_autocast_to_bfloat16_does_not_show(columns):
    logits, targets = batch(columns=columns)
    expected = value_and_gradient(with_samples(), logits, targets)
    with torch.autocast("cpu", torch.bfloat16):
        found = value_and_gradient(with_samples(), logits, targets)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_samples_are_counted_in_training_with_gradients_only():
    """Without gradients the batch counts for its own loss, as in the first of the two passes of
    activation checkpointing; outside of training nothing does."""
    logits, targets = batch()
    loss = with_samples()
    with torch.no_grad():
        value = loss(logits, targets)
    assert loss.class_count.tolist() == COUNT and value == with_samples()(logits, targets)
    loss.eval()
    assert loss(logits, targets) != value and loss.class_count.tolist() == COUNT


@pytest.mark.parametrize("shape", [(50, C), (50, C + 1), (2, C, 4, 4)])
def test_a_forward_on_a_gpu_is_not_waited_for(shape):
    """A fake GPU has no values: whoever asks for one fails."""
    with FakeTensorMode():
        loss = SeesawLoss(C).to("cuda")
        logits = torch.randn(shape, device="cuda", requires_grad=True)
        targets = torch.randint(-1, C, shape[:1] + shape[2:], device="cuda")
        assert loss(logits, targets).device.type == "cuda"


def test_resumed_training_is_the_uninterrupted_one():
    whole, first, second = SeesawLoss(C), SeesawLoss(C), SeesawLoss(C)
    values = []
    for seed in range(4):
        logits, targets = batch(columns=C + 1, seed=seed)
        if seed == 2:
            second.load_state_dict(first.state_dict())
        half = first if seed < 2 else second
        values.append((half(logits, targets), whole(logits, targets)))
    assert all(found == expected for found, expected in values)
    assert torch.equal(second.class_count, whole.class_count)
    assert whole.class_count.dtype == torch.float64


def test_a_checkpoint_without_counts_loads_without_complaint():
    model = nn.ModuleDict({"loss_cls": with_samples()})
    state = {key: value for key, value in model.state_dict().items() if "class_count" not in key}
    assert len(state) < len(model.state_dict())
    model.load_state_dict(state)
    assert model["loss_cls"].class_count.tolist() == COUNT


@pytest.mark.parametrize("kwargs", [{"p": -1.0}, {"q": -0.5}, {"eps": 0.0}, {"eps": 1.5}])
def test_bad_arguments_are_named(kwargs):
    ((name, value),) = kwargs.items()
    with pytest.raises(InputError, match=f"{name} of SeesawLoss is {value}") as error:
        SeesawLoss(C, **kwargs)
    assert "\n" not in str(error.value)


def test_t9_every_argument_changes_something():
    logits, targets = batch()
    plain = with_samples()(logits, targets)
    for changed in ({"p": 0.1}, {"q": 0.1}, {"eps": 0.5}):
        assert with_samples(**changed)(logits, targets) != plain


def test_the_samples_of_all_processes_count(monkeypatch):
    """Two real ones: test_seesaw_box_head.py."""
    monkeypatch.setattr(seesaw, "sum_over_ranks", lambda counted: counted + 10)
    loss = SeesawLoss(C)
    loss(torch.zeros(3, C), torch.tensor([0, 1, 1]))
    assert loss.class_count.tolist() == [11, 12, 10, 10, 10, 10]


def test_the_registry_builds_it_from_a_yaml_config(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("MODEL: {EQL: {LOSS: SeesawLoss, SEESAWLOSS: {P: 0.5, Q: 1.0, EPS: 0.1}}}")
    cfg = get_cfg()
    add_eql_config(cfg)
    cfg.MODEL.EQL.LOSS = "SeesawLoss"
    loss = build_loss(cfg, C)
    assert type(loss) is SeesawLoss and (loss.p, loss.q, loss.eps) == (0.8, 2.0, 0.01)
    cfg.merge_from_file(str(path))
    loss = build_loss(cfg, C)
    assert (loss.p, loss.q, loss.eps) == (0.5, 1.0, 0.1)


def test_reset_forgets_the_samples():
    loss = SeesawLoss(C)
    loss.monitor()
    loss(torch.zeros(3, C), torch.tensor([0, 1, 1]))
    assert loss.class_count.sum() == 3
    loss.reset_statistics()
    assert not loss.class_count.any() and not loss.statistics.neg_grad.any()

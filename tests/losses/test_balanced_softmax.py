import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F
from detectron2.config import get_cfg

from eql_d2 import BalancedSoftmax, InputError, SoftmaxEQL, add_eql_config
from eql_d2.distributed import end_process_group
from eql_d2.losses import build_loss
from tests.losses.test_softmax_eql import C, batch, value_and_gradient
from tests.losses.trajectory import follow
from tests.reference.balanced_softmax import ReferenceBalancedSoftmax

COUNT = torch.tensor([400, 80, 20, 5, 1, 1])


@pytest.mark.parametrize("columns", [C, C + 1])
@pytest.mark.parametrize(
    ("count", "tau"), [(COUNT, 0.0), (torch.full((C,), 7), 1.0), (torch.full((C,), 7), 0.5)]
)
def test_without_tau_or_with_equal_counts_it_is_cross_entropy(columns, count, tau):
    """The background's margin is that of the classes."""
    logits, targets = batch(columns=columns, dtype=torch.float64)
    found = value_and_gradient(BalancedSoftmax(C, count, tau), logits, targets)
    expected = value_and_gradient(F.cross_entropy, logits, targets)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("tau", [1.0, 0.5])
def test_loss_and_closed_form_gradient_equal_autograd_in_float64(tau):
    logits, targets = batch(dtype=torch.float64)
    found = value_and_gradient(BalancedSoftmax(C, COUNT, tau), logits, targets)
    expected = value_and_gradient(
        lambda z, y: F.cross_entropy(z + tau * COUNT.double().log(), y), logits, targets
    )
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-15)


def test_only_the_shares_of_the_counts_matter():
    logits, targets = batch(columns=C + 1)
    many, few = (BalancedSoftmax(C, n * COUNT, 0.7)(logits, targets) for n in (1, 1000))
    torch.testing.assert_close(many, few)


def test_a_class_with_more_samples_must_be_beaten_by_more():
    values = []
    for other in (1, 10, 100, 1000):
        count = torch.tensor([100, other, 50, 50, 50, 50])
        values.append(float(BalancedSoftmax(C, count)(torch.zeros(1, C), torch.tensor([0]))))
    assert values == sorted(values) and len(set(values)) == 4


def test_it_is_softmax_eql_with_counts_for_gradients():
    """In a box head, too: the background's margin follows from the same rule."""
    logits, targets = batch(columns=C + 1)
    peer = SoftmaxEQL(C, tau=0.6)
    peer.statistics.pos_grad += COUNT
    torch.testing.assert_close(
        BalancedSoftmax(C, COUNT, 0.6)(logits, targets), peer(logits, targets)
    )


@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize("tau", [1.0, 0.5])
def test_200_steps_equal_the_reference(background, tau):
    loss = BalancedSoftmax(C, COUNT, tau)
    reference = ReferenceBalancedSoftmax(COUNT, tau, background)
    worst, weight = follow(loss, reference, C + background)
    assert worst <= 1e-5 and weight.abs().max() > 0.1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_logits_of_200_stay_finite(dtype):
    logits = torch.tensor([[200.0, -200, 0, 0, 0, 0, 0], [-200, 200, 200, 0, 0, 0, 0]], dtype=dtype)
    logits.requires_grad_()
    loss = BalancedSoftmax(C, COUNT)
    value, gradient = value_and_gradient(loss, logits, torch.tensor([1, C]))
    assert value.isfinite() and gradient.isfinite().all() and gradient.dtype == dtype
    assert loss.scores(logits).isfinite().all()


def test_autocast_to_bfloat16_does_not_show():
    logits, targets = batch()
    expected = value_and_gradient(BalancedSoftmax(C, COUNT), logits, targets)
    with torch.autocast("cpu", torch.bfloat16):
        found = value_and_gradient(BalancedSoftmax(C, COUNT), logits, targets)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_a_batch_of_background_trains_all_columns():
    logits, targets = torch.zeros(3, C + 1, requires_grad=True), torch.full((3,), C)
    value, gradient = value_and_gradient(BalancedSoftmax(C, COUNT), logits, targets)
    assert value > 0 and (gradient[:, :C] > 0).all() and (gradient[:, C] < 0).all()


def test_mixed_labels_are_cross_entropy_with_margins():
    logits, targets = batch(dtype=torch.float64)
    y = 0.7 * F.one_hot(targets, C).double() + 0.3 * F.one_hot(targets.roll(1), C)
    found = value_and_gradient(BalancedSoftmax(C, COUNT), logits, y)
    expected = value_and_gradient(
        lambda z, y: F.cross_entropy(z + COUNT.double().log(), y), logits, y
    )
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-15)


def test_scores_are_a_plain_softmax_without_the_background():
    logits, _ = batch(columns=C + 1)
    scores = BalancedSoftmax(C, COUNT).scores(logits)
    torch.testing.assert_close(scores, logits.softmax(1)[:, :C])


@pytest.mark.parametrize("prepared", [True, False])
def test_t8_counts_are_got_once_and_by_training_alone(prepared):
    """By ``prepare_training``, or else by the first step. Test needs no training data."""
    calls = []

    def count():
        calls.append(1)
        return COUNT

    loss = BalancedSoftmax(C, count)
    loss.eval().scores(batch()[0])
    loss.train().scores(batch()[0])
    assert not calls and not loss.state_dict()
    if prepared:
        loss.prepare_training()
        assert len(calls) == 1
    given = BalancedSoftmax(C, COUNT)
    for _ in range(2):
        assert loss(*batch()) == given(*batch())
    loss.prepare_training()
    assert len(calls) == 1 and not given.state_dict()


@pytest.mark.parametrize(
    ("count", "message"),
    [
        (torch.ones(3), r"shape \(3,\): with 6 classes"),
        (None, "no class_count"),
        (torch.tensor([5, 0, 1, 0, 2, 2]), r"for 2 of 6 classes \(index 1, 3\): .* take these"),
        (torch.zeros(C), r"for 6 of 6 classes \(index 0, 1, 2, 3, 4, \.\.\.\)"),
        (torch.tensor([5, -1, 1, float("nan"), 2, 2]), r"for 2 of 6 classes \(index 1, 3\)"),
    ],
)
def test_wrong_counts_are_refused(count, message):
    with pytest.raises(InputError, match=message) as error:
        BalancedSoftmax(C, count)
    assert "\n" not in str(error.value)


def test_wrong_counts_of_the_training_data_are_refused_before_the_first_step():
    loss = BalancedSoftmax(C, lambda: torch.tensor([5, 0, 1, 1, 2, 2]))
    with pytest.raises(InputError, match=r"for 1 of 6 classes \(index 1\)"):
        loss.prepare_training()


def test_negative_tau_is_refused():
    with pytest.raises(InputError, match="tau of BalancedSoftmax is -1"):
        BalancedSoftmax(C, COUNT, tau=-1.0)


def test_the_registry_builds_it_from_a_yaml_config(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("MODEL: {EQL: {LOSS: BalancedSoftmax, BALANCEDSOFTMAX: {TAU: 0.5}}}")
    cfg = get_cfg()
    add_eql_config(cfg)
    cfg.merge_from_file(str(path))
    loss = build_loss(cfg, C, class_count=lambda: COUNT)
    assert type(loss) is BalancedSoftmax and loss.tau == 0.5 and loss.class_count is None
    loss.prepare_training()
    assert loss.class_count.tolist() == COUNT.tolist()


def train(rank, world_size, port_file, result_file):
    if world_size > 1:
        dist.init_process_group(
            "gloo", init_method=f"file://{port_file}", rank=rank, world_size=world_size
        )
    loss = BalancedSoftmax(C, COUNT)
    loss.monitor()
    share = 50 // world_size
    for seed in range(3):
        logits, targets = batch(columns=C + 1, seed=seed)
        loss(logits[rank * share :][:share], targets[rank * share :][:share])
    torch.save(loss.statistics.state_dict(), f"{result_file}{rank}")
    end_process_group()


@pytest.mark.slow
def test_monitored_ratios_of_two_processes_are_those_of_one(tmp_path):
    """Each has the mean over its own rows, so that the sums are twice as large."""
    mp.spawn(train, (2, tmp_path / "store", f"{tmp_path}/two"), nprocs=2)
    train(0, 1, None, f"{tmp_path}/one")
    expected = torch.load(f"{tmp_path}/one0")
    for rank in range(2):
        found = torch.load(f"{tmp_path}/two{rank}")
        for name, value in expected.items():
            torch.testing.assert_close(found[name], 2 * value, rtol=1e-6, atol=0)

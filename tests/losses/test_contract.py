"""What every loss promises to its head, its trainer and its device."""

import pytest
import torch
import torch.nn.functional as F
from detectron2.config import get_cfg

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
    GradientStatistics,
    InputError,
    InstanceCountEQL,
    SeesawLoss,
    SigmoidCE,
    SoftmaxCE,
    SoftmaxEQL,
    add_eql_config,
)
from eql_d2.losses import build_loss

C = 6
BY_SAMPLES = [BalancedSoftmax, ECM, ClassWeightedSoftmaxCE, ClassWeightedSigmoidCE]
PEERS = [*BY_SAMPLES, SeesawLoss]
BY_MEASURE = [EQL, InstanceCountEQL, SEQL]
LOSSES = [SoftmaxCE, SigmoidCE, FocalLoss, *BY_MEASURE, EQLv2, SoftmaxEQL, EFL, EQFL, *PEERS]
WITH_STATISTICS = [EQLv2, SoftmaxEQL, EFL, EQFL]


def build(loss_class, **kwargs):
    if loss_class in (EQL, SEQL):
        kwargs["image_frequency"] = torch.tensor([0.5, 0.2, 1e-5, 0.3, 1e-5, 0.1])
    if loss_class in (*BY_SAMPLES, InstanceCountEQL):
        kwargs["class_count"] = torch.tensor([400, 80, 20, 5, 1, 1])
    return loss_class(C, **kwargs)


def batch(seed=0, dtype=torch.float32):
    """Logits (50, C) and labels, all in the foreground."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(50, C, generator=generator) - 1
    return logits.to(dtype), torch.randint(C, (50,), generator=generator)


def call(loss, logits, targets, **kwargs):
    if loss.uses_quality:
        kwargs["quality"] = torch.linspace(0, 1, len(targets))
    torch.manual_seed(0)  # SEQL draws
    return loss(logits, targets, **kwargs)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize(
    "loss_class, columns",
    [(cls, columns) for cls in LOSSES for columns in sorted({C, build(cls).num_logits})],
)
def test_scores_are_those_of_the_logits_in_float32(loss_class, columns, dtype):
    """Of float64 in float64."""
    loss = build(loss_class)
    computed_in = torch.float64 if dtype == torch.float64 else torch.float32
    generator = torch.Generator().manual_seed(0)
    logits = (8 * torch.randn(50, columns, generator=generator)).to(dtype)
    scores = loss.scores(logits)
    assert scores.dtype == computed_in and scores.shape == (50, C)
    torch.testing.assert_close(scores, loss.scores(logits.to(computed_in)), rtol=1e-6, atol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("loss_class", LOSSES)
def test_half_precision_is_computed_in_float32(loss_class, dtype):
    """Outside autocast too."""
    half, full = build(loss_class), build(loss_class)
    for loss in (half, full):
        loss.monitor()
    for seed in range(2):
        logits, targets = batch(seed, dtype)
        leaf = logits.float().requires_grad_()
        logits.requires_grad_()
        value, expected = call(half, logits, targets), call(full, leaf, targets)
        value.backward()
        expected.backward()
        assert value.dtype == torch.float32 and torch.equal(value, expected)
        assert torch.equal(logits.grad, leaf.grad.to(dtype))
    torch.testing.assert_close(half.state_dict(), full.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("loss", [SoftmaxCE(C), build(SEQL, gamma=0.0)], ids=["SoftmaxCE", "SEQL"])
def test_cross_entropy_of_bfloat16_is_that_of_float32(loss):
    logits = torch.tensor([[1.0, 8.5, 0.3, 2.0, -3.0, 0.1]], dtype=torch.bfloat16)
    targets = torch.tensor([0])
    expected = F.cross_entropy(logits.float(), targets)
    torch.testing.assert_close(loss(logits, targets), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("loss_class", LOSSES)
def test_a_tensor_as_normalizer_is_its_value(loss_class, monkeypatch):
    """And is not asked for its truth: a device would have to be waited for."""
    normalizer, asked = torch.tensor(2.0), []
    truth = torch.Tensor.__bool__

    def noting(tensor):
        asked.append(tensor is normalizer)
        return truth(tensor)

    monkeypatch.setattr(torch.Tensor, "__bool__", noting)
    assert normalizer and asked == [True]  # it is noted
    value = call(build(loss_class), *batch(), normalizer=normalizer)
    assert not any(asked[1:])
    torch.testing.assert_close(value, call(build(loss_class), *batch(), normalizer=2.0))


@pytest.mark.parametrize("loss_class", LOSSES)
def test_normalizer_divides_the_sum(loss_class):
    one, four = (call(build(loss_class), *batch(), normalizer=float(n)) for n in (1, 4))
    torch.testing.assert_close(one / 4, four)
    # Here all 50 rows count, in a dense loss as 50 positives.
    torch.testing.assert_close(call(build(loss_class), *batch()), one / 50)


@pytest.mark.parametrize("zero", [0.0, torch.tensor(0.0)], ids=["float", "tensor"])
@pytest.mark.parametrize("loss_class", LOSSES)
def test_normalizer_of_zero_is_not_replaced(loss_class, zero):
    assert call(build(loss_class), *batch(), normalizer=zero) == float("inf")


@pytest.mark.parametrize("loss_class", LOSSES)
def test_heads_of_another_number_of_classes_are_refused(loss_class):
    loss = build(loss_class)
    loss.check_head(C, gives_quality=True)
    for number in (C - 1, C + 1):
        message = f"^{loss_class.__name__} is for {C} classes but the head has {number}: set "
        with pytest.raises(InputError, match=message) as error:
            loss.check_head(number, gives_quality=True)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("loss_class", LOSSES)
def test_heads_without_a_quality_are_refused_by_eqfl_alone(loss_class):
    loss = build(loss_class)
    if loss_class is not EQFL:
        loss.check_head(C)
        return
    with pytest.raises(InputError, match="^EQFL needs the IoU .* set MODEL.EQL.LOSS to EFL"):
        loss.check_head(C)


@pytest.mark.parametrize(
    "loss_class", [SigmoidCE, ClassWeightedSigmoidCE, FocalLoss, EQL, EQLv2, EFL, EQFL]
)
def test_bias_starts_at_the_prior(loss_class):
    bias = torch.nn.Parameter(torch.full((C,), 0.5))
    # None is the default here and in a yaml config; no prior is a probability of one half.
    build(loss_class, prior_prob=None).init_bias(bias)
    torch.testing.assert_close(bias.detach().sigmoid(), torch.full((C,), 0.001))
    build(loss_class, prior_prob=0.5).init_bias(bias)
    assert bias.tolist() == [0.0] * C
    loss = build(loss_class, prior_prob=0.02)
    loss.init_bias(bias)
    torch.testing.assert_close(bias.detach().sigmoid(), torch.full((C,), 0.02))
    loss.init_bias(None)  # a cosine classifier has none


@pytest.mark.parametrize(
    "loss_class", [SoftmaxCE, SEQL, SoftmaxEQL, BalancedSoftmax, SeesawLoss, ECM]
)
def test_bias_stays_without_a_prior(loss_class):
    bias = torch.nn.Parameter(torch.full((C,), 0.5))
    build(loss_class).init_bias(bias)
    assert bias.tolist() == [0.5] * C


@pytest.mark.parametrize("loss_class", WITH_STATISTICS)
def test_decay_takes_a_share_of_the_old_sums_before_each_step_adds(loss_class):
    forgetting, remembering = build(loss_class, decay=0.5), build(loss_class)
    old_pos, old_neg = torch.arange(1.0, C + 1).double(), torch.full((C,), 4.0).double()
    for loss in (forgetting, remembering):
        loss.statistics.update(old_pos, old_neg)
        call(loss, *batch())
    found, expected = forgetting.statistics, remembering.statistics
    torch.testing.assert_close(found.pos_grad, expected.pos_grad - old_pos / 2)
    torch.testing.assert_close(found.neg_grad, expected.neg_grad - old_neg / 2)
    assert (expected.neg_grad > old_neg).all()


@pytest.mark.parametrize("loss_class", WITH_STATISTICS)
@pytest.mark.parametrize("decay", [0.0, 1.5])
def test_impossible_decay_is_refused(loss_class, decay):
    with pytest.raises(InputError, match=f"decay of the gradient statistics is {decay}"):
        build(loss_class, decay=decay)


@pytest.mark.parametrize("loss_class", WITH_STATISTICS)
def test_decay_comes_from_the_config(loss_class):
    cfg = get_cfg()
    add_eql_config(cfg)
    cfg.MODEL.EQL.LOSS = loss_class.__name__
    assert build_loss(cfg, C).statistics.decay == 1
    cfg.merge_from_list([f"MODEL.EQL.{loss_class.__name__.upper()}.DECAY", 0.5])
    assert build_loss(cfg, C).statistics.decay == 0.5


def without_float64(tensor):
    """What ``.to("mps")`` does to each tensor, as far as its dtype goes."""
    if tensor.dtype == torch.float64:
        raise TypeError(
            "Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support "
            "float64. Please use float32 instead."
        )
    return tensor


@pytest.mark.parametrize("loss_class", WITH_STATISTICS)
def test_a_device_without_float64_is_refused(loss_class):
    model = torch.nn.Sequential(torch.nn.Linear(2, C), build(loss_class))
    message = f"^{loss_class.__name__} .* float64.*set MODEL.DEVICE to cuda or cpu$"
    with pytest.raises(InputError, match=message) as error:
        model._apply(without_float64)
    assert "\n" not in str(error.value)


CASTS = {
    "bfloat16": lambda model: model.bfloat16(),
    "half": lambda model: model.half(),
    "to": lambda model: model.to("cpu", torch.bfloat16),
    "there and back": lambda model: model.half().double(),
    "before and within": lambda model: torch.nn.Sequential(model.bfloat16()).half()[0],
}


@pytest.mark.parametrize("loss_class", LOSSES)
@pytest.mark.parametrize("cast", CASTS.values(), ids=CASTS)
def test_a_cast_of_the_model_leaves_state_and_sums_exact(loss_class, cast):
    """A sum in bfloat16 stops at 256 times its increment."""
    plain, other = build(loss_class), build(loss_class)
    for loss in (plain, other):
        loss.monitor()
    other = cast(other)
    for name, buffer in plain.named_buffers():
        assert dict(other.named_buffers())[name].dtype == buffer.dtype
    for step in range(3):
        for loss in (plain, other):
            for _ in range(100):
                loss.statistics.update(torch.ones(C), torch.ones(C))
            call(loss, *batch(step))
    for (name, expected), buffer in zip(plain.named_buffers(), other.buffers()):
        torch.testing.assert_close(buffer, expected, rtol=0, atol=0, msg=name)
    assert plain.statistics.pos_grad.min() > 300


@pytest.mark.parametrize("loss_class", LOSSES)
def test_a_checkpoint_of_a_cast_model_is_taken_into_float64(loss_class):
    loss, state = build(loss_class), build(loss_class).state_dict()
    state = {key: value.bfloat16() for key, value in state.items()}
    loss.load_state_dict(state, assign=True)
    assert all(buffer.dtype == torch.float64 for buffer in loss.buffers())


def test_statistics_that_were_cast_past_their_module_say_so():
    statistics = GradientStatistics(2)
    statistics.pos_grad = statistics.pos_grad.bfloat16()
    with pytest.raises(InputError, match="cast to torch.bfloat16, in which sums stop counting"):
        statistics.update(torch.ones(2), torch.ones(2))


@pytest.mark.parametrize("loss_class", LOSSES)
def test_other_devices_and_dtypes_are_taken(loss_class):
    loss = build(loss_class).to("cpu").cpu().share_memory().to(torch.float32).half().double()
    assert call(loss, *batch()).isfinite()
    assert build(loss_class).to("meta").num_classes == C

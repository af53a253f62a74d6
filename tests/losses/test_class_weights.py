"""Class weights against PyTorch's own, and against loops over the formulas."""

import math

import pytest
import torch
import torch.nn.functional as F
from detectron2.config import LazyCall as L
from detectron2.config import get_cfg, instantiate

from eql_d2 import (
    ClassWeightedSigmoidCE,
    ClassWeightedSoftmaxCE,
    InputError,
    SigmoidCE,
    SoftmaxCE,
    add_eql_config,
)
from eql_d2.losses import build_loss
from tests.losses.test_softmax_eql import C, batch, value_and_gradient

COUNT = torch.tensor([400, 80, 20, 5, 1, 1])
BETA = 0.99
OF_COUNT = {
    "inverse": lambda n: 1 / n,
    "square_root": lambda n: 1 / math.sqrt(n),
    "effective_number": lambda n: (1 - BETA) / (1 - BETA**n),
}
LOSSES = [ClassWeightedSoftmaxCE, ClassWeightedSigmoidCE]


def weights(weighting, columns=C):
    """With a mean of 1 over the classes, and 1 for the background."""
    values = [OF_COUNT[weighting](n) for n in COUNT.tolist()]
    values = [C * value / sum(values) for value in values]
    return torch.tensor(values + [1.0] * (columns - C), dtype=torch.float64)


def make(loss_class, weighting):
    return loss_class(C, COUNT, weighting, BETA)


@pytest.mark.parametrize("columns", [C, C + 1])
@pytest.mark.parametrize("weighting", OF_COUNT)
def test_the_softmax_is_pytorchs_weighted_cross_entropy_over_the_rows(weighting, columns):
    """PyTorch's mean divides by the weights of the rows, ours by their number."""
    logits, targets = batch(columns=columns, dtype=torch.float64)
    targets[:5] = -1
    weight, found = weights(weighting, columns), make(ClassWeightedSoftmaxCE, weighting)
    labels = targets[5:]

    def expected(z, _):
        mean = F.cross_entropy(z[5:], labels, weight)
        return mean * weight[labels].sum() / len(labels)

    torch.testing.assert_close(
        value_and_gradient(found, logits, targets),
        value_and_gradient(expected, logits, targets),
        rtol=1e-10,
        atol=1e-15,
    )


def test_mixed_labels_and_maps_are_pytorchs_too():
    logits, targets = batch(dtype=torch.float64)
    y = 0.7 * F.one_hot(targets, C).double() + 0.3 * F.one_hot(targets.roll(1), C)
    loss, weight = make(ClassWeightedSoftmaxCE, "inverse"), weights("inverse")
    torch.testing.assert_close(loss(logits, y), F.cross_entropy(logits, y, weight))
    maps = logits.view(2, 5, 5, C).permute(0, 3, 1, 2)
    torch.testing.assert_close(loss(maps, targets.view(2, 5, 5)), loss(logits, targets))


@pytest.mark.parametrize("columns", [C, C + 1])
@pytest.mark.parametrize("weighting", OF_COUNT)
def test_the_sigmoid_weighs_all_columns_of_a_row_by_its_label(weighting, columns):
    logits, targets = batch(columns=columns, dtype=torch.float64)
    targets[:5] = -1
    weight = weights(weighting, columns)

    def expected(z, _):
        y = F.one_hot(targets[5:], columns)[:, :C].double()
        losses = F.binary_cross_entropy_with_logits(z[5:, :C], y, reduction="none").sum(1)
        return (weight[targets[5:]] * losses).mean()

    torch.testing.assert_close(
        value_and_gradient(make(ClassWeightedSigmoidCE, weighting), logits, targets),
        value_and_gradient(expected, logits, targets),
        rtol=1e-6,
        atol=1e-8,
    )


@pytest.mark.parametrize("columns", [C, C + 1])
@pytest.mark.parametrize("loss_class, plain", [*zip(LOSSES, (SoftmaxCE, SigmoidCE))])
def test_equal_counts_and_a_beta_of_zero_are_the_baseline(loss_class, plain, columns):
    logits, targets = batch(columns=columns)
    expected = value_and_gradient(plain(C), logits, targets)
    for loss in (loss_class(C, torch.full((C,), 7)), loss_class(C, COUNT, beta=0.0)):
        torch.testing.assert_close(value_and_gradient(loss, logits, targets), expected)
    assert torch.equal(loss.scores(logits), plain(C).scores(logits))


def test_soft_labels_and_background_are_measured_by_their_weighted_gradients():
    """Hard labels are measured in ``test_monitor.py``."""
    loss = make(ClassWeightedSoftmaxCE, "inverse")
    loss.monitor()
    logits, targets = batch(columns=C + 1, dtype=torch.float64)
    y = 0.7 * F.one_hot(targets, C + 1).double() + 0.3 * F.one_hot(targets.roll(1), C + 1)
    _, gradient = value_and_gradient(loss, logits, y)
    measured = loss.statistics.pos_grad, loss.statistics.neg_grad
    for found, part in zip(measured, (y, 1 - y)):
        torch.testing.assert_close(found, (gradient.abs() * part).sum(0)[:C])


def test_the_effective_number_does_not_cancel_for_large_counts_and_betas():
    count = torch.tensor([1, 10, 1000, 10**7, 2, 3])
    loss = ClassWeightedSoftmaxCE(C, count, beta=1 - 1e-12)
    found = loss._label_weight(torch.zeros(1, C, dtype=torch.float64))
    assert (found[0] / found).tolist() == pytest.approx(count.tolist(), rel=1e-4)


@pytest.mark.parametrize("loss_class", LOSSES)
def test_wrong_arguments_get_one_line(loss_class):
    name = loss_class.__name__
    for arguments, message in (
        ((COUNT, "sqrt"), f"^weighting of {name} is 'sqrt': choose one of inverse, square_root, "),
        ((COUNT, "effective_number", 1), f"^beta of {name} is 1: give 0 or more and below 1"),
        ((COUNT, "effective_number", math.nan), f"^beta of {name} is nan: give 0 or more"),
        ((None,), f"^{name} has no class_count: give the training samples of each class"),
        ((COUNT - 1,), rf"^class_count of {name} is not positive for 2 of 6 classes \(index 4, 5"),
    ):
        with pytest.raises(InputError, match=message) as error:
            loss_class(C, *arguments)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("loss_class", LOSSES)
def test_yaml_and_lazy_configs_build_it_and_the_data_are_counted_late(loss_class):
    name = loss_class.__name__
    cfg = get_cfg()
    add_eql_config(cfg)
    node = f"MODEL.EQL.{name.upper()}"
    cfg.merge_from_list(["MODEL.EQL.LOSS", name, f"{node}.WEIGHTING", "square_root"])
    of_yaml = build_loss(cfg, C, class_count=lambda: COUNT)
    assert type(of_yaml) is loss_class and of_yaml.class_count is None
    lazy = L(loss_class)(num_classes=C, class_count=COUNT, weighting="square_root")
    logits, targets = batch()
    assert torch.equal(of_yaml(logits, targets), instantiate(lazy)(logits, targets))
    assert of_yaml.beta == 0.9999 and not of_yaml.state_dict()

import pytest
import torch
from fvcore.nn import sigmoid_focal_loss

from eql_d2 import EFL, EQFL, FocalLoss, InputError
from eql_d2.losses.functional.blocks import cut
from tests.losses.test_parity import relative_difference
from tests.reference.focal_losses import ReferenceEFL, ReferenceEQFL

C = 6


def rows(num_rows=200, seed=0, num_classes=C, scale=3.0):
    """Logits, labels (background, ignored, foreground) and qualities of rows."""
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(num_rows, num_classes, generator=generator) - 2
    labels = torch.randint(-1, num_classes + 1, (num_rows,), generator=generator)
    labels[num_rows // 2 :] = num_classes
    return logits, labels, torch.rand(num_rows, generator=generator)


def kwargs_of(loss, quality):
    return {"quality": quality} if loss.uses_quality else {}


def as_maps(values, sizes, num_images, num_anchors):
    """Rows (N * R, C) in Detectron2's anchor order as maps (N, A * C, H, W) of some levels."""
    values = values.view(num_images, -1, values.shape[-1])
    maps, first = [], 0
    for height, width in sizes:
        size = height * width * num_anchors
        level = values[:, first : first + size].view(num_images, height, width, num_anchors, -1)
        maps.append(level.permute(0, 3, 4, 1, 2).reshape(num_images, -1, height, width))
        first += size
    return maps


def gradient(loss, logits, labels, quality, normalizer=7.0):
    logits = logits.clone().requires_grad_()
    loss(logits, labels, normalizer=normalizer, **kwargs_of(loss, quality)).backward()
    return logits.grad


@pytest.mark.parametrize("loss", [EFL(C), FocalLoss(C), EFL(C, scale=0.0)])
def test_balanced_efl_is_the_focal_loss(loss):
    logits, labels, quality = rows()
    valid = labels >= 0
    y = torch.nn.functional.one_hot(labels[valid], C + 1)[:, :C].float()
    leaf = logits[valid].requires_grad_()
    expected = sigmoid_focal_loss(leaf, y, alpha=0.25, gamma=2.0, reduction="sum") / 7
    expected.backward()
    loss.eval()
    torch.testing.assert_close(loss(logits, labels, normalizer=7.0), expected)
    grad = gradient(loss, logits, labels, quality)
    torch.testing.assert_close(grad[valid], leaf.grad)
    assert grad[~valid].abs().max() == 0


def test_eqfl_with_quality_one_is_efl_without_alpha():
    logits, labels, _ = rows()
    ones = torch.ones(len(labels))
    efl, eqfl = EFL(C, alpha=-1.0), EQFL(C)
    for seed in range(3):
        logits, labels, _ = rows(seed=seed)
        torch.testing.assert_close(
            eqfl(logits, labels, normalizer=7.0, quality=ones), efl(logits, labels, normalizer=7.0)
        )
    torch.testing.assert_close(eqfl.statistics.pos_grad, efl.statistics.pos_grad)
    torch.testing.assert_close(eqfl.statistics.neg_grad, efl.statistics.neg_grad)


def test_a_falling_ratio_sharpens_the_focus_and_raises_the_weight():
    """A hard positive counts more, an easy negative less.

    A positive has the gradient (gamma / 2) (1 - p) ** gamma (1 - p - gamma p log p). It grows with
    gamma, up to the largest of 10, where p is below 0.16: there the weight outdoes the focus.
    """
    hard, harder = torch.tensor([[0.15] * 3, [0.01] * 3]).logit()
    efl = EFL(3).eval()
    efl.statistics.update(torch.tensor([0.1, 0.5, 1.0]), torch.ones(3))
    for logits in (hard, harder):
        size = [gradient(efl, logits[None], torch.tensor([k]), None)[0, k].abs() for k in range(3)]
        assert size[0] > size[1] > size[2]
    easy_negative = gradient(efl, harder[None], torch.tensor([3]), None)[0]
    assert 0 < easy_negative[0] < easy_negative[1] < easy_negative[2]


def assert_follows(loss, reference, steps=200):
    """A linear classifier that the loss trains, in step with the reference."""
    num_classes = loss.num_classes
    generator = torch.Generator().manual_seed(1)
    weight = 0.01 * torch.randn(8, num_classes, generator=generator)
    bias = torch.full((num_classes,), -1.0)
    worst = 0.0
    for step in range(steps):
        _, labels, quality = rows(64, seed=step, num_classes=num_classes)
        labels[::4] = num_classes  # background dominates, as in a dense head
        features = torch.randn(64, 8, generator=generator)
        normalizer = float(1 + step % 5)
        logits = (features @ weight + bias).requires_grad_()
        value = loss(logits, labels, normalizer=normalizer, **kwargs_of(loss, quality))
        value.backward()
        expected, expected_gradient = reference.step(logits, labels, normalizer, quality)
        worst = max(
            worst,
            relative_difference(value.detach(), expected),
            relative_difference(logits.grad, expected_gradient),
        )
        weight -= 0.2 * features.t() @ logits.grad
        bias -= 0.2 * logits.grad.sum(0)
    assert worst <= 1e-5
    for ours, theirs in (
        (loss.statistics.pos_grad, reference.pos_grad),
        (loss.statistics.neg_grad, reference.neg_grad),
        (loss.statistics.ratio().clamp(0, 1), reference.ratio),
    ):
        assert relative_difference(ours, theirs) <= 1e-5
    assert 0 < loss.statistics.ratio().min() < 1


@pytest.mark.parametrize("loss, reference", [(EFL, ReferenceEFL), (EQFL, ReferenceEQFL)])
@pytest.mark.parametrize("num_classes", [12, 150])
def test_200_steps_equal_the_reference(loss, reference, num_classes):
    assert_follows(loss(num_classes), reference(num_classes))


@pytest.mark.parametrize("cls", [EFL, EQFL, FocalLoss])
@pytest.mark.parametrize("sizes", [[(15, 4)], [(6, 5), (5, 4), (5, 2)], [(12, 1)] * 5])
def test_maps_of_any_number_of_levels_equal_rows(cls, sizes, monkeypatch):
    """One pyramid of 60 positions, cut into 1, 3 or 5 levels, with 2 anchors and 2 images."""
    monkeypatch.setitem(cut._ELEMENTS, "cpu", 8 * 50)
    logits, labels, quality = rows(240)
    on_rows, on_maps = cls(C), cls(C)
    for _ in range(2):
        row_logits = logits.clone().requires_grad_()
        expected = on_rows(row_logits, labels, normalizer=3.0, **kwargs_of(on_rows, quality))
        expected.backward()
        maps = [m.requires_grad_() for m in as_maps(logits, sizes, 2, 2)]
        found = on_maps(
            maps, labels.view(2, -1), normalizer=3.0, **kwargs_of(on_maps, quality.view(2, -1))
        )
        found.backward()
        torch.testing.assert_close(found, expected)
        for ours, theirs in zip(maps, as_maps(row_logits.grad, sizes, 2, 2)):
            torch.testing.assert_close(ours.grad, theirs, rtol=2e-5, atol=2e-5)
    if cls is not FocalLoss:
        for name, value in on_rows.statistics.state_dict().items():
            found = on_maps.statistics.state_dict()[name]
            torch.testing.assert_close(found, value, rtol=1e-5, atol=0)


def test_t13_a_marked_class_at_a_marked_anchor_lands_in_its_own_accumulator():
    sizes, num_anchors = [(4, 4), (2, 2), (1, 1)], 2
    maps = [torch.full((1, num_anchors * C, *size), -100.0) for size in sizes]
    maps[1][0, 1 * C + 4, 0, 1] = 2.0  # second level, row 0, column 1, anchor 1, class 4
    labels = torch.full((1, 42), C)
    marked = 32 + (0 * 2 + 1) * num_anchors + 1
    efl = EFL(C)
    efl(maps, labels, normalizer=1.0)
    assert efl.statistics.neg_grad.nonzero().tolist() == [[4]]
    assert efl.statistics.pos_grad.sum() == 0
    labels[0, marked] = 4
    efl = EFL(C)
    efl(maps, labels, normalizer=1.0)
    assert efl.statistics.pos_grad.nonzero().tolist() == [[4]]
    assert efl.statistics.neg_grad.sum() == 0


@pytest.mark.parametrize("cls", [EFL, EQFL, FocalLoss])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_extreme_logits_stay_finite(cls, dtype):
    logits = torch.tensor([[200.0, -200.0] * 3, [-200.0, 200.0] * 3]).to(dtype).requires_grad_()
    loss = cls(C)
    quality = torch.tensor([0.5, 1.0])
    value = loss(logits, torch.tensor([1, 1]), normalizer=1.0, **kwargs_of(loss, quality))
    value.backward()
    assert value.isfinite() and logits.grad.isfinite().all() and logits.grad.dtype == dtype


@pytest.mark.parametrize("cls", [EFL, EQFL, FocalLoss])
@pytest.mark.parametrize("labels", [[], [C] * 4, [-1] * 4])
def test_empty_background_and_ignored_batches(cls, labels):
    loss, logits = cls(C), torch.zeros(len(labels), C)
    grad = gradient(loss, logits, torch.tensor(labels, dtype=torch.long), torch.zeros(len(labels)))
    assert grad.isfinite().all()
    if -1 in labels:
        assert (
            grad.abs().sum() == 0
            and loss(
                logits, torch.tensor(labels), normalizer=1.0, **(kwargs_of(loss, torch.zeros(4)))
            )
            == 0
        )


@pytest.mark.parametrize("loss, reference", [(EFL, ReferenceEFL), (EQFL, ReferenceEQFL)])
def test_gradient_accumulation_over_micro_batches_adds_up(loss, reference):
    """Each micro-batch is a step: it sees the ratio that the ones before it left."""
    loss, reference = loss(C), reference(C)
    logits, labels, quality = rows()
    logits.requires_grad_()
    expected_gradient = torch.zeros(logits.shape, dtype=torch.float64)
    for micro_batch in (slice(0, None, 2), slice(1, None, 2)):
        part = logits[micro_batch], labels[micro_batch]
        value = loss(*part, normalizer=5.0, **kwargs_of(loss, quality[micro_batch]))
        value.backward()
        expected, expected_gradient[micro_batch] = reference.step(*part, 5.0, quality[micro_batch])
        assert relative_difference(value.detach(), expected) <= 1e-5
        assert reference.ratio.min() < 0.5  # so that the second is not the focal loss
    assert relative_difference(logits.grad, expected_gradient) <= 1e-5
    assert relative_difference(loss.statistics.pos_grad, reference.pos_grad) <= 1e-5
    assert relative_difference(loss.statistics.neg_grad, reference.neg_grad) <= 1e-5


def test_decay_forgets_old_steps():
    forgetting, remembering = EFL(C, decay=0.5), EFL(C)
    for _ in range(30):
        forgetting.statistics.update(torch.ones(C), 2 * torch.ones(C))
        remembering.statistics.update(torch.ones(C), 2 * torch.ones(C))
    torch.testing.assert_close(forgetting.statistics.pos_grad, 2 * torch.ones(C).double())
    assert remembering.statistics.pos_grad.tolist() == [30] * C


def test_wrong_arguments_are_refused():
    for name in ("gamma", "scale"):
        with pytest.raises(InputError, match=f"{name} of EFL is -1"):
            EFL(C, **{name: -1.0})
    with pytest.raises(InputError, match="gamma of EQFL is 0"):
        EQFL(C, gamma=0.0)
    with pytest.raises(InputError, match="decay of the gradient statistics is 0"):
        EFL(C, decay=0.0)
    with pytest.raises(InputError, match=r"map of shape \(1, 7, 2, 2\)"):
        EFL(C)([torch.zeros(1, 7, 2, 2)], torch.zeros(1, 8), normalizer=1.0)
    with pytest.raises(InputError, match=r"shape \(1, 9\) for maps with 8 anchors"):
        EFL(C)([torch.zeros(1, 12, 2, 2)], torch.zeros(1, 9).long(), normalizer=1.0)

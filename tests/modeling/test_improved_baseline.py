"""Training of the improved baseline."""

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from detectron2.modeling import build_model
from detectron2.modeling.meta_arch.dense_detector import permute_to_N_HWA_K
from detectron2.structures import Boxes
from detectron2.utils.events import EventStorage
from fvcore.nn import giou_loss
from torch import nn

from eql_d2 import InputError
from eql_d2.distributed import end_process_group
from eql_d2.engine.hooks import find_statistics
from tests.modeling.half_precision import assert_bf16_trains_as_float32
from tests.modeling.improved_baseline import (
    SIZES,
    A,
    C,
    as_improved_baseline,
    features,
    random_predictions,
)
from tests.modeling.training_step import batch, losses_of
from tests.reference import atss as reference


@pytest.fixture
def cfg(tiny_cfg):
    return as_improved_baseline(tiny_cfg)


@pytest.mark.parametrize("loss", ["EFL", "EQFL", "FocalLoss"])
@pytest.mark.parametrize("num_objects", [(2, 2), (1, 0), (0, 0)])
def test_losses_train_with_and_without_objects(cfg, loss, num_objects):
    cfg.MODEL.EQL.LOSS = loss
    model = build_model(cfg)
    losses = losses_of(model, batch(*num_objects))
    assert set(losses) == {"loss_cls", "loss_box_reg", "loss_iou"}
    for value in losses.values():
        assert value.isfinite() and value.requires_grad
    # Every rank must have a gradient for every parameter, also without an object.
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)
    for branch in (model.head.bbox_pred, model.head.iou_pred):
        assert (branch.weight.grad.abs().sum() > 0) == any(num_objects)
    if not any(num_objects):
        assert losses["loss_box_reg"] == losses["loss_iou"] == 0
    for module in find_statistics(model).values():
        seen = [j for n in num_objects for j in (0, 3)[:n]]
        assert (module.pos_grad > 0).nonzero()[:, 0].tolist() == sorted(set(seen))
        assert module.neg_grad.min() > 0


def test_bf16_autocast_trains_as_float32_and_predicts(cfg):
    torch.manual_seed(0)
    model = build_model(cfg)
    assert_bf16_trains_as_float32(model, lambda model: losses_of(model, batch(2, 2)), rtol=0.05)
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        assert len(model.eval()(batch(2))[0]["instances"]) > 0


def test_prior_of_the_loss_and_recipe_of_the_head(cfg):
    model = build_model(cfg)
    torch.testing.assert_close(model.head.cls_score.bias.sigmoid(), torch.full((A * C,), 0.001))
    assert model.anchor_matcher.num_candidates == 18
    assert isinstance(model.head.bbox_subnet[0].norm, nn.GroupNorm)


def test_labels_are_those_of_the_matched_objects(cfg):
    model = build_model(cfg)
    instances = [x["instances"] for x in batch(2, 0)]
    anchors = model.anchor_generator(features(2))
    labels, boxes = model.label_anchors(anchors, instances)
    assert [len(x) for x in labels] == [sum(len(x) for x in anchors)] * 2
    assert set(labels[0].tolist()) == {0, 3, C}
    assert set(labels[1].tolist()) == {C}
    for index, label in enumerate((0, 3)):
        expected = instances[0].gt_boxes.tensor[index]
        assert (boxes[0][labels[0] == label] == expected).all()


class QualityProbe(nn.Module):
    """Stands for a loss and keeps what it is given."""

    uses_quality = True

    def forward(self, logits, targets, **kwargs):
        self.given = kwargs
        return sum(x.sum() for x in logits)


def test_losses_are_those_written_by_hand(cfg):
    model = build_model(cfg)
    model.loss_cls = probe = QualityProbe()
    instances = [x["instances"] for x in batch(2, 1)]
    predictions = random_predictions(2)
    with EventStorage():
        found = model.forward_training(None, features(2), predictions, instances)

    anchors = model.anchor_generator(features(2))
    labels, boxes = model.label_anchors(anchors, instances)
    loss_box_reg, loss_iou, quality = reference.box_losses(anchors, labels, boxes, predictions, C)
    assert (quality > 0).sum() > 5 and quality.sum() > 1
    assert found["loss_box_reg"].item() == pytest.approx(loss_box_reg, rel=1e-4)
    assert found["loss_iou"].item() == pytest.approx(loss_iou, rel=1e-4)
    assert probe.given["normalizer"] == sum((x != C).sum() for x in labels)
    torch.testing.assert_close(probe.given["quality"], quality)
    assert not probe.given["quality"].requires_grad


def test_iou_targets_are_constants(cfg):
    model = build_model(cfg)
    instances = [x["instances"] for x in batch(2)]
    logits, deltas, ious = random_predictions(1)
    leaves = [x.requires_grad_() for x in deltas]
    ious = [x.requires_grad_() for x in ious]
    with EventStorage():
        losses = model.forward_training(None, features(1), (logits, deltas, ious), instances)
    grads = torch.autograd.grad(losses["loss_iou"], leaves, allow_unused=True)
    assert all(grad is None for grad in grads)

    anchors = model.anchor_generator(features(1))
    (labels,), (targets,) = model.label_anchors(anchors, instances)
    positive = labels != C
    flat = torch.cat([permute_to_N_HWA_K(x, 4)[0] for x in leaves])[positive]
    boxes = model.box2box_transform.apply_deltas(flat, Boxes.cat(anchors).tensor[positive])
    pairs = zip(boxes.tolist(), targets[positive].tolist())
    weight = torch.tensor([reference.iou_and_giou(*pair)[0] for pair in pairs])
    expected = (weight * giou_loss(boxes, targets[positive])).sum() / weight.sum().clamp(min=1)
    expected = torch.autograd.grad(expected, leaves)
    found = torch.autograd.grad(losses["loss_box_reg"], leaves)
    assert sum(grad.abs().sum() for grad in found) > 0
    torch.testing.assert_close(found, expected)


def test_t13_a_marked_anchor_lands_in_its_own_accumulator(cfg):
    model = build_model(cfg)
    logits = [torch.full((1, A * C, *size), -100.0) for size in SIZES[:3]]
    deltas = [torch.zeros(1, height * width * A, 4) for height, width in SIZES[:3]]
    ious = [torch.zeros(1, height * width * A, 1) for height, width in SIZES[:3]]
    anchors = [Boxes(torch.tensor([[0.0, 0, 8, 8]]).repeat(len(x[0]), 1)) for x in deltas]
    logits[1][0, 1 * C + 3, 2, 4] = 1.0  # level 1, anchor 1, class 3
    labels = torch.full((160 + 40 + 12,), C)
    labels[160 + (2 * 5 + 4) * A + 1] = 3
    with EventStorage():
        model.losses(anchors, logits, [labels], deltas, [torch.rand(212, 4)], ious)
    (statistics,) = find_statistics(model).values()
    assert statistics.pos_grad.nonzero().tolist() == [[3]]
    assert statistics.neg_grad.sum() == 0


def test_t13_assigner_and_head_agree_on_the_channels(cfg):
    model = build_model(cfg)
    instances = batch(2)[0]["instances"]
    labels = model.label_anchors(model.anchor_generator(features(1)), [instances])[0][0]
    logits, deltas, ious = random_predictions(1)
    first = 0
    for level in logits:
        level.fill_(-100.0)
        height, width = level.shape[2:]
        here = labels[first : first + height * width * A].view(height, width, A)
        for y, x, a in (here != C).nonzero().tolist():
            level[0, a * C + here[y, x, a], y, x] = 100.0
        first += height * width * A
    with EventStorage():
        losses = model.forward_training(None, features(1), (logits, deltas, ious), [instances])
    assert losses["loss_cls"] < 1e-6


def gradients_of(cfg, images, num_objects):
    """Gradients of the predictions for some images of a batch, and the statistics."""
    torch.manual_seed(0)
    model = build_model(cfg)
    instances = [batch(count)[0]["instances"] for count in num_objects]
    maps = random_predictions(2)
    leaves = [[x[images].clone().requires_grad_() for x in levels] for levels in maps]
    with EventStorage():
        losses = model.forward_training(None, features(len(images)), leaves, instances)
    sum(losses.values()).backward()
    gradients = [x.grad for levels in leaves for x in levels]
    return gradients, model.loss_cls.statistics.ratio()


def train_rank(rank, cfg, num_objects, folder):
    store = f"file://{folder}/store"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
    result = gradients_of(cfg, [rank], [num_objects[rank]])
    torch.save(result, f"{folder}/result{rank}")
    end_process_group()


@pytest.mark.slow
def test_two_processes_one_without_objects_equal_one(cfg, tmp_path):
    mp.spawn(train_rank, (cfg, (2, 0), str(tmp_path)), nprocs=2)
    expected, ratio = gradients_of(cfg, [0, 1], (2, 0))
    for rank in range(2):
        found, rank_ratio = torch.load(tmp_path / f"result{rank}")
        for gradient, joined in zip(found, expected):
            # Data parallel training averages the gradients of the processes.
            torch.testing.assert_close(gradient / 2, joined[[rank]])
        torch.testing.assert_close(rank_ratio, ratio)


def test_other_box_losses_are_refused(cfg):
    cfg.MODEL.RETINANET.BBOX_REG_LOSS_TYPE = "smooth_l1"
    with pytest.raises(InputError, match="smooth_l1.*BBOX_REG_LOSS_TYPE to giou"):
        build_model(cfg)

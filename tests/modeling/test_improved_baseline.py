import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from detectron2.export.flatten import TracingAdapter
from detectron2.export.torchscript import scripting_with_instances
from detectron2.modeling import build_model
from detectron2.modeling.meta_arch.dense_detector import permute_to_N_HWA_K
from detectron2.structures import Boxes, ImageList, Instances
from detectron2.utils.events import EventStorage
from fvcore.nn import giou_loss
from torch import nn

from eql_d2 import EQLImprovedBaseline, InputError
from eql_d2.distributed import end_process_group
from eql_d2.engine.hooks import find_statistics
from eql_d2.modeling.improved_baseline import top_rated_candidates
from tests.modeling.test_roi_heads import assert_bf16_trains_as_float32
from tests.reference import atss as reference

C, A = 5, 2
SIZES = [(8, 10), (4, 5), (2, 3), (1, 2), (1, 1)]


@pytest.fixture
def cfg(tiny_cfg):
    """The improved baseline, narrow and with one convolution in each branch."""
    tiny_cfg.MODEL.META_ARCHITECTURE = EQLImprovedBaseline.__name__
    tiny_cfg.MODEL.BACKBONE.NAME = "build_improved_baseline_resnet_fpn_backbone"
    tiny_cfg.MODEL.RESNETS.OUT_FEATURES = ["res3", "res4", "res5"]
    tiny_cfg.MODEL.FPN.IN_FEATURES = ["res3", "res4", "res5"]
    tiny_cfg.MODEL.FPN.OUT_CHANNELS = 64
    tiny_cfg.MODEL.ANCHOR_GENERATOR.SIZES = [[6.0 * s, 8.0 * s] for s in (8, 16, 32, 64, 128)]
    tiny_cfg.MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS = [[1.0]]
    tiny_cfg.MODEL.ANCHOR_GENERATOR.OFFSET = 0.5
    tiny_cfg.MODEL.RETINANET.NUM_CLASSES = C
    tiny_cfg.MODEL.RETINANET.NUM_CONVS = 1
    tiny_cfg.MODEL.RETINANET.NORM = "GN"
    tiny_cfg.MODEL.RETINANET.BBOX_REG_LOSS_TYPE = "giou"
    tiny_cfg.MODEL.RETINANET.SCORE_THRESH_TEST = 0.0
    tiny_cfg.MODEL.RETINANET.TOPK_CANDIDATES_TEST = 6000
    tiny_cfg.TEST.DETECTIONS_PER_IMAGE = 300
    tiny_cfg.MODEL.MASK_ON = False
    tiny_cfg.MODEL.EQL.LOSS = "EFL"
    return tiny_cfg


def batch(*num_objects):
    generator = torch.Generator().manual_seed(3)
    inputs = []
    for count in num_objects:
        instances = Instances((64, 80))
        boxes = torch.tensor([[5.0, 5, 40, 40], [30, 20, 70, 60]])[:count]
        instances.gt_boxes = Boxes(boxes)
        instances.gt_classes = torch.tensor([0, 3])[:count]
        image = 255 * torch.rand(3, 64, 80, generator=generator)
        inputs.append({"image": image, "instances": instances, "height": 64, "width": 80})
    return inputs


def losses_of(model, inputs):
    with EventStorage():
        losses = model.train()(inputs)
        sum(losses.values()).backward()
    return losses


def features(num_images):
    return [torch.zeros(num_images, 1, *size) for size in SIZES]


def random_predictions(num_images):
    torch.manual_seed(5)
    logits = [2 * torch.randn(num_images, A * C, *size) for size in SIZES]
    deltas = [0.3 * torch.randn(num_images, A * 4, *size) for size in SIZES]
    ious = [torch.randn(num_images, A, *size) for size in SIZES]
    return logits, deltas, ious


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


@pytest.mark.parametrize(
    "topk, score_thresh, limit", [(6000, 0.0, 300), (50, 0.0, 40), (50, 0.3, 300)]
)
def test_detections_are_those_of_the_dense_way(cfg, topk, score_thresh, limit):
    cfg.MODEL.RETINANET.TOPK_CANDIDATES_TEST = topk
    cfg.MODEL.RETINANET.SCORE_THRESH_TEST = score_thresh
    cfg.TEST.DETECTIONS_PER_IMAGE = limit
    model = build_model(cfg).eval()
    predictions = random_predictions(2)
    image_sizes = [(64, 80), (60, 70)]
    images = ImageList(torch.zeros(2, 3, 64, 80), image_sizes)
    results = model.forward_inference(images, features(2), predictions)
    for image, found in enumerate(results):
        boxes, scores, classes = reference.detections(
            model.anchor_generator(features(1)),
            [[x[image] for x in levels] for levels in predictions],
            image_sizes[image],
            num_classes=C,
            score_thresh=score_thresh,
            topk=topk,
            nms_thresh=model.test_nms_thresh,
            limit=limit,
        )
        assert len(found) == len(scores) > 10
        torch.testing.assert_close(found.scores, scores)
        torch.testing.assert_close(found.pred_boxes.tensor, boxes, rtol=1e-4, atol=1e-3)
        assert torch.equal(found.pred_classes, classes)


@pytest.mark.parametrize("scale", [0.01, 1.0, 20.0])
@pytest.mark.parametrize("num_candidates", [1, 7, 6000])
@pytest.mark.parametrize("score_thresh", [0.0, 0.2])
def test_bound_of_the_candidates_loses_none(scale, num_candidates, score_thresh):
    """Flat, ordinary and saturated maps: the scores are those of a sort of all products."""
    for seed in range(10):
        torch.manual_seed(seed)
        logits = scale * torch.randn(A * 50, 6, 7) - 3
        ious = scale * torch.randn(A, 6, 7)
        dense = (logits.view(A, 50, -1).sigmoid() * ious.view(A, 1, -1).sigmoid()).flatten()
        expected = dense.sort(descending=True)[0][: min(num_candidates, ious.numel())]
        scores, anchor, classes = top_rated_candidates(logits, ious, score_thresh, num_candidates)
        torch.testing.assert_close(scores, expected[expected > score_thresh])
        y, x, a = anchor // A // 7, anchor // A % 7, anchor % A
        product = logits[a * 50 + classes, y, x].sigmoid() * ious[a, y, x].sigmoid()
        torch.testing.assert_close(product, scores)


def test_inference_gives_finite_boxes_inside_the_image(cfg):
    model = build_model(cfg).eval()
    with torch.no_grad():
        found = model(batch(2))[0]["instances"]
    assert 0 < len(found) <= 300
    boxes = found.pred_boxes.tensor
    assert boxes.min() >= 0 and boxes[:, 2].max() <= 80 and boxes[:, 3].max() <= 64


@pytest.mark.slow
def test_export_by_tracing_and_scripting_equals_eager(cfg):
    model = build_model(cfg).eval()
    images = [255 * torch.rand(3, *size) for size in [(64, 80), (96, 64), (64, 32)]]
    inputs = [{"image": images[0]}]
    adapter = TracingAdapter(model, inputs, lambda model, inputs: model(inputs))
    traced = torch.jit.trace(adapter, (images[0],), check_trace=False)
    fields = {"pred_boxes": Boxes, "scores": torch.Tensor, "pred_classes": torch.Tensor}
    scripted = scripting_with_instances(model, fields)
    for image in images:  # the sizes of the first are no constants of the others
        expected = model([{"image": image}])[0]["instances"]
        found = adapter.outputs_schema(traced(image))[0]["instances"]
        torch.testing.assert_close(found.scores, expected.scores)
        found = scripted([{"image": image}])[0]
        kept = found.pred_boxes.nonempty()  # boxes of the padding; eager leaves them out at the end
        torch.testing.assert_close(found.scores[kept], expected.scores)


def test_other_box_losses_are_refused(cfg):
    cfg.MODEL.RETINANET.BBOX_REG_LOSS_TYPE = "smooth_l1"
    with pytest.raises(InputError, match="smooth_l1.*BBOX_REG_LOSS_TYPE to giou"):
        build_model(cfg)

"""YOLOX-IP: what it adds to the improved baseline, and the size of its network."""

import pytest
import torch
from detectron2.config import get_cfg
from detectron2.modeling import build_model
from detectron2.structures import Boxes
from detectron2.utils.events import EventStorage
from torch.utils.flop_counter import FlopCounterMode

from eql_d2 import InputError, add_eql_config
from eql_d2.engine.hooks import find_statistics
from tests.config_twins import build_yaml_model
from tests.modeling.dense_export import assert_exports_equal_eager
from tests.modeling.improved_baseline import A, C, features, random_predictions
from tests.modeling.training_step import batch, losses_of
from tests.modeling.yolox import SIZES, as_yolox_ip
from tests.reference import atss as reference
from tests.reference.focal_losses import ReferenceEFL, ReferenceEQFL


@pytest.fixture
def cfg(tiny_cfg):
    return as_yolox_ip(tiny_cfg)


def delta(anchor, box):
    """The target of an anchor: shift of the centre by its size, logarithm of the sizes' ratio."""
    center, size = [], []
    for low, high in ((0, 2), (1, 3)):
        width = anchor[high] - anchor[low]
        center.append(((box[low] + box[high]) - (anchor[low] + anchor[high])) / 2 / width)
        size.append(torch.tensor((box[high] - box[low]) / width).log().item())
    return center + size


@pytest.mark.parametrize(
    ("loss", "make_reference"),
    [
        ("EFL", lambda: ReferenceEFL(C)),
        ("EQFL", lambda: ReferenceEQFL(C, scale=4.0)),
        ("QFL", lambda: ReferenceEQFL(C, scale=0.0)),
        ("FocalLoss", lambda: ReferenceEFL(C, scale=0.0)),
    ],
)
def test_every_loss_is_that_written_by_hand(cfg, loss, make_reference):
    cfg.MODEL.EQL.LOSS = loss.replace("QFL", "EQFL") if loss == "QFL" else loss
    cfg.MODEL.EQL.EQFL.SCALE = 0.0 if loss == "QFL" else 4.0
    model, slow = build_model(cfg), make_reference()
    instances = [x["instances"] for x in batch(2, 1)]
    logits, deltas, ious = random_predictions(2, SIZES)
    anchors = model.anchor_generator(features(2, SIZES))
    labels, boxes = model.label_anchors(anchors, instances)
    loss_box_reg, loss_iou, quality = reference.box_losses(
        anchors, labels, boxes, (logits, deltas, ious), C
    )
    found_labels, num_positive = torch.cat(labels), sum(int((x != C).sum()) for x in labels)
    assert num_positive > 20
    all_anchors = [anchor for level in anchors for anchor in level.tensor.tolist()]
    all_logits, all_deltas = (
        [[row for level in maps for row in reference.rows(level[n], A)] for n in range(2)]
        for maps in (logits, deltas)
    )
    distances = [
        abs(predicted - target)
        for n in range(2)
        for i in (labels[n] != C).nonzero()[:, 0].tolist()
        for predicted, target in zip(
            all_deltas[n][i], delta(all_anchors[i], boxes[n][i].tolist()), strict=True
        )
    ]
    assert len(distances) == 4 * num_positive
    rows = torch.tensor(all_logits).flatten(0, 1)
    for _ in range(2):  # the second step has the weights of the first one's statistics
        with EventStorage():
            found = model.forward_training(
                None, features(2, SIZES), (logits, deltas, ious), instances
            )
        loss_cls, _ = slow.step(rows, found_labels, num_positive, quality.flatten())
        assert found["loss_cls"].item() == pytest.approx(loss_cls.item(), rel=1e-4)
        assert found["loss_box_reg"].item() == pytest.approx(loss_box_reg, rel=1e-4)
        assert found["loss_iou"].item() == pytest.approx(loss_iou, rel=1e-4)
        assert found["loss_l1"].item() == pytest.approx(sum(distances) / len(distances), rel=1e-4)


@pytest.mark.parametrize("num_objects", [(2, 2), (1, 0), (0, 0)])
def test_it_trains_with_and_without_objects(cfg, num_objects):
    model = build_model(cfg)
    losses = losses_of(model, batch(*num_objects))
    assert set(losses) == {"loss_cls", "loss_box_reg", "loss_iou", "loss_l1"}
    # Every rank must have a gradient for every parameter, also without an object.
    assert all(p.grad.isfinite().all() for p in model.parameters())
    if not any(num_objects):
        assert losses["loss_box_reg"] == losses["loss_iou"] == losses["loss_l1"] == 0


def test_a_marked_class_of_each_head_lands_in_its_own_accumulator(cfg):
    model = build_model(cfg)
    for layer in model.head.cls_preds:
        torch.nn.init.zeros_(layer.weight)
        torch.nn.init.constant_(layer.bias, -100.0)
    for level, class_, anchor in ((0, 3, 1), (1, 0, 0), (2, 4, 1)):
        model.head.cls_preds[level].bias.data[anchor * C + class_] = 0.0
        model.loss_cls.reset_statistics()
        shapes = [torch.rand(1, n, *size) for n, size in zip((16, 32, 64), SIZES)]
        logits, deltas, ious = model.head(shapes)
        labels = [torch.full((height * width, A), C) for height, width in SIZES]
        labels[level][4, anchor] = class_
        labels = torch.cat([x.flatten() for x in labels])
        rows = [torch.zeros(1, height * width * A, 4) for height, width in SIZES]
        anchors = [Boxes(torch.tensor([[0.0, 0, 8, 8]]).repeat(len(x[0]), 1)) for x in rows]
        targets = torch.tensor([[0.0, 0, 9, 9]]).repeat(len(labels), 1)
        with EventStorage():
            model.losses(anchors, logits, [labels], rows, [targets], [x[..., :1] for x in rows])
        (statistics,) = find_statistics(model).values()
        assert statistics.pos_grad.nonzero().tolist() == [[class_]]
        assert statistics.neg_grad.nonzero().tolist() == [[class_]]  # the other cells of the head
        model.head.cls_preds[level].bias.data.fill_(-100.0)


def test_class_and_iou_begin_with_the_prior(cfg):
    cfg.MODEL.EQL.PRIOR_PROB = 0.02
    head = build_model(cfg).head
    for layer in (*head.cls_preds, *head.obj_preds):
        torch.testing.assert_close(layer.bias.sigmoid(), torch.full_like(layer.bias, 0.02))
    assert not any((layer.bias == head.cls_preds[0].bias[0]).any() for layer in head.reg_preds)


@pytest.mark.parametrize("size", [(64, 80), (80, 64), (64, 64)])
def test_images_are_padded_to_a_square_of_zeros(cfg, size):
    model = build_model(cfg)
    images = model.preprocess_image(
        [{"image": torch.ones(3, *size)}, {"image": torch.ones(3, 8, 8)}]
    )
    side = 96 if 80 in size else 64
    assert images.tensor.shape == (2, 3, side, side)
    assert images.image_sizes == [size, (8, 8)]
    assert images.tensor[0].sum() == 3 * size[0] * size[1]
    assert model.padded_size(*size) == (side, side)


def test_anchors_lie_around_the_corners_of_the_cells(cfg):
    anchors = build_model(cfg).anchor_generator(features(1, SIZES))
    assert anchors[0].tensor[:3].tolist() == [
        [-12, -12, 12, 12],
        [-16, -16, 16, 16],
        [-4, -12, 20, 12],
    ]
    assert anchors[2].tensor[-1].tolist() == [0, 0, 128, 128]


def test_bf16_autocast_trains_and_predicts(cfg):
    model = build_model(cfg)
    with torch.autocast("cpu", torch.bfloat16):
        losses = losses_of(model, batch(2, 2))
        assert all(loss.isfinite() and loss.dtype == torch.float32 for loss in losses.values())
        assert all(p.grad.isfinite().all() for p in model.parameters())
        with torch.no_grad():
            assert len(model.eval()(batch(2))[0]["instances"]) > 0


@pytest.mark.slow
def test_export_by_tracing_and_scripting_equals_eager(cfg):
    torch.manual_seed(0)
    assert_exports_equal_eager(build_model(cfg))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("DEPTH", 0.0, "DEPTH is 0.0: give a factor of 0.17 or more"),
        ("WIDTH", float("nan"), "WIDTH is nan: give a factor of 0.031 or more"),
        ("STEM_ORDER", "rgb", "STEM_ORDER is 'rgb': choose row_major or column_major"),
    ],
)
def test_a_network_that_cannot_be_is_refused(cfg, key, value, message):
    cfg.MODEL.YOLOX[key] = value
    with pytest.raises(InputError, match=message):
        build_model(cfg)


def convolutions(channels, few, num_classes):
    """(input, output, kernel, stride of the output) of all, from the table of the recipe.

    Args:
        channels: of the stem, 32 or 48.
        few: bottlenecks of the short layers, 1 or 2.
    """
    c3, c4, c5 = 4 * channels, 8 * channels, 16 * channels

    def csp(before, after, num_bottlenecks, stride):
        half = after // 2
        bottleneck = [(half, half, 1, stride), (half, half, 3, stride)]
        ends = [(before, half, 1, stride)] * 2 + [(after, after, 1, stride)]
        return ends + num_bottlenecks * bottleneck

    def down(before, after, stride):
        return [(before, after, 3, stride)]

    return [
        (12, channels, 3, 2),
        *down(channels, 2 * channels, 4) + csp(2 * channels, 2 * channels, few, 4),
        *down(2 * channels, c3, 8) + csp(c3, c3, 3 * few, 8),
        *down(c3, c4, 16) + csp(c4, c4, 3 * few, 16),
        *down(c4, c5, 32) + [(c5, c5 // 2, 1, 32), (2 * c5, c5, 1, 32)] + csp(c5, c5, few, 32),
        *[(c5, c4, 1, 32)] + csp(2 * c4, c4, few, 16),
        *[(c4, c3, 1, 16)] + csp(2 * c3, c3, few, 8),
        *down(c3, c3, 16) + csp(2 * c3, c4, few, 16),
        *down(c4, c4, 32) + csp(2 * c4, c5, few, 32),
        *[
            layer
            for before, stride in ((c3, 8), (c4, 16), (c5, 32))
            for layer in [(before, c3, 1, stride)]
            + 4 * [(c3, c3, 3, stride)]
            + [(c3, 2 * num_classes, 1, stride), (c3, 2 * 4, 1, stride), (c3, 2, 1, stride)]
        ],
    ]


@pytest.mark.parametrize(
    ("depth", "width", "channels", "few"), [(0.33, 0.5, 32, 1), (0.67, 0.75, 48, 2)]
)
def test_parameters_and_operations_are_those_of_the_recipe(depth, width, channels, few):
    cfg = get_cfg()
    add_eql_config(cfg)
    as_yolox_ip(cfg).MODEL.RETINANET.NUM_CLASSES = 1203
    cfg.MODEL.YOLOX.DEPTH, cfg.MODEL.YOLOX.WIDTH = depth, width
    model = build_yaml_model(cfg)
    layers = convolutions(channels, few, 1203)
    predictors = 3 * 2 * (1203 + 4 + 1)  # biases; the others have a batch norm
    weights = sum(before * after * kernel**2 for before, after, kernel, _ in layers)
    norms = 2 * (sum(after for _, after, _, _ in layers) - predictors)
    assert sum(p.numel() for p in model.parameters()) == weights + norms + predictors

    operations = sum(
        2 * before * after * kernel**2 * (640 // stride) ** 2
        for before, after, kernel, stride in layers
    )
    with FlopCounterMode(display=False) as counter:
        model.head([*model.backbone(torch.empty(1, 3, 640, 640, device="meta")).values()])
    assert counter.get_total_flops() == operations

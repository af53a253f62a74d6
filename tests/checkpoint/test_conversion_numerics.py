"""A converted model computes what the foreign one does: against forward passes on foreign names."""

import pytest
import torch
import torch.nn.functional as F
from detectron2.modeling import build_model
from detectron2.structures import Boxes

from eql_d2.checkpoint import EQLCheckpointer
from tests.checkpoint.converted import assert_close, config_of, convert
from tests.reference import foreign_models as foreign

NUM_CLASSES = 4


def load(tmp_path, caplog, state):
    """Config of the printed command and its model with the converted weights, nothing missing."""
    report, weights = convert(tmp_path, state)
    cfg = config_of(report)
    model = build_model(cfg).eval()
    EQLCheckpointer(model).load(cfg.MODEL.WEIGHTS)
    assert not [r.message for r in caplog.records if r.levelname != "INFO"]
    for name, value in model.state_dict().items():
        assert torch.equal(value, weights[name])
    return cfg, model


def features_of(cfg, model, image):
    """By name, from an RGB image with its channels as the data mapper would order them."""
    image = image if cfg.INPUT.FORMAT == "RGB" else image.flip(0)
    return model.backbone(model.preprocess_image([{"image": image}]).tensor)


@pytest.fixture
def image():
    torch.manual_seed(0)
    return torch.rand(3, 64, 128) * 255  # multiples of 64: no padding anywhere


BOXES = torch.tensor([[4.0, 8.0, 60.0, 40.0], [0.0, 0.0, 128.0, 64.0], [30.0, 5.0, 43.0, 60.0]])
MMDET = {
    "rpn": [f"rpn_head.rpn_{layer}" for layer in ("conv", "cls", "reg")],
    "lateral": [f"neck.lateral_convs.{i}.conv" for i in range(4)],
    "output": [f"neck.fpn_convs.{i}.conv" for i in range(4)],
    "box": [
        *(f"roi_head.bbox_head.shared_fcs.{i}" for i in range(2)),
        "roi_head.bbox_head.fc_cls",
        "roi_head.bbox_head.fc_reg",
    ],
    "masks": [f"roi_head.mask_head.convs.{i}.conv" for i in range(4)],
    "mask": ["roi_head.mask_head.upsample", "roi_head.mask_head.conv_logits"],
}
EQL = {
    "rpn": [
        f"proposal_generator.rpn_head.{layer}"
        for layer in ("conv", "objectness_logits", "anchor_deltas")
    ],
    "lateral": [f"backbone.fpn_lateral{i}" for i in (2, 3, 4, 5)],
    "output": [f"backbone.fpn_output{i}" for i in (2, 3, 4, 5)],
    "box": [
        "roi_heads.box_head.fc1",
        "roi_heads.box_head.fc2",
        "roi_heads.box_predictor.cls_score",
        "roi_heads.box_predictor.bbox_pred",
    ],
    "masks": [f"roi_heads.mask_head.mask_fcn{i}" for i in (1, 2, 3, 4)],
    "mask": ["roi_heads.mask_head.deconv", "roi_heads.mask_head.predictor"],
}


def assert_same_mask_rcnn(state, names, features, model, found):
    """Pyramid, RPN, boxes and masks. Returns the class logits of the foreign model and the scores
    of ours."""
    _, levels = foreign.fpn(state, features, names["lateral"], names["output"])
    levels.append(F.max_pool2d(levels[-1], 1, 2))
    assert list(found) == ["p2", "p3", "p4", "p5", "p6"]
    logits, deltas = model.proposal_generator.rpn_head(list(found.values()))
    for i, (level, own) in enumerate(zip(levels, found.values(), strict=True)):
        assert_close(own, level)
        hidden = foreign.conv(state, names["rpn"][0], level).relu()
        assert_close(logits[i], foreign.conv(state, names["rpn"][1], hidden))
        assert_close(deltas[i], foreign.conv(state, names["rpn"][2], hidden))

    heads, found = model.roi_heads, list(found.values())[:4]
    pooled = heads.box_pooler(found, [Boxes(BOXES)])
    predictions = heads.box_predictor(heads.box_head(pooled))
    logits, deltas = foreign.box_branch(state, foreign.pool(levels, BOXES, 7), *names["box"])
    assert_close(predictions[0][:, : logits.shape[1]], logits)
    assert_close(predictions[1], deltas)
    pooled = heads.mask_pooler(found, [Boxes(BOXES)])
    pooled_again = foreign.pool(levels, BOXES, 14)
    masks = foreign.mask_branch(state, pooled_again, names["masks"], *names["mask"])
    assert_close(heads.mask_head.layers(pooled), masks)
    return logits, heads.box_predictor.predict_probs(predictions, [BOXES])[0]


@pytest.mark.slow
@torch.no_grad()
def test_mask_rcnn_of_mmdet_with_eqlv2(tmp_path, caplog, image):
    state = foreign.mmdet_mask_rcnn(foreign.random_tensor, NUM_CLASSES, NUM_CLASSES + 1)
    cfg, model = load(tmp_path, caplog, state | _statistics("roi_head.bbox_head.loss_cls"))
    features = foreign.torchvision_features(state, image)
    found = features_of(cfg, model, image)
    logits, scores = assert_same_mask_rcnn(state, MMDET, features, model, found)
    # As trained: the last column is that of "no object"
    probs = logits.sigmoid()
    assert_close(scores[:, :-1], probs[:, :-1] * (1 - probs[:, -1:]))


@pytest.mark.slow
@torch.no_grad()
def test_mask_rcnn_of_eql_detectron2(tmp_path, caplog, image):
    state = foreign.eql_detectron2(foreign.random_tensor, NUM_CLASSES, NUM_CLASSES)
    cfg, model = load(tmp_path, caplog, state)
    features = foreign.msra_features(state, image)
    found = features_of(cfg, model, image)
    logits, scores = assert_same_mask_rcnn(state, EQL, features, model, found)
    assert_close(scores[:, :-1], logits.sigmoid())


@pytest.mark.slow
@torch.no_grad()
def test_retinanet_of_mmdet(tmp_path, caplog, image):
    state = foreign.mmdet_retinanet(foreign.random_tensor, NUM_CLASSES)
    cfg, model = load(tmp_path, caplog, state)
    features = foreign.torchvision_features(state, image)
    lateral, output = (
        [f"neck.{name}.{i}.conv" for i in range(3)] for name in ("lateral_convs", "fpn_convs")
    )
    _, levels = foreign.fpn(state, features[1:], lateral, output)
    levels.append(foreign.conv(state, "neck.fpn_convs.3.conv", features[-1], 2))
    p7 = foreign.conv(state, "neck.fpn_convs.4.conv", levels[-1], 2)
    # mmdet has no such ReLU; the note of the conversion says so.
    p7_with_relu = foreign.conv(state, "neck.fpn_convs.4.conv", levels[-1].relu(), 2)
    assert (p7 - p7_with_relu).abs().max() > 0.1
    levels.append(p7_with_relu)

    found = list(features_of(cfg, model, image).values())
    all_logits, all_deltas = model.head(found)
    anchors = list(model.anchor_generator.cell_anchors)
    for i, level in enumerate(levels):
        assert_close(found[i], level)
        logits, deltas = level, level
        for k in range(4):
            logits = foreign.conv(state, f"bbox_head.cls_convs.{k}.conv", logits).relu()
            deltas = foreign.conv(state, f"bbox_head.reg_convs.{k}.conv", deltas).relu()
        logits = foreign.conv(state, "bbox_head.retina_cls", logits)[0]
        deltas = foreign.conv(state, "bbox_head.retina_reg", deltas)[0]
        order = _place_in_mmdet(anchors[i], stride=8 * 2**i)
        assert_close(all_logits[i][0].unflatten(0, (9, -1)), logits.unflatten(0, (9, -1))[order])
        assert_close(all_deltas[i][0].unflatten(0, (9, -1)), deltas.unflatten(0, (9, -1))[order])


def _place_in_mmdet(anchors, stride):
    """Index among mmdet's anchors of a location, built here, of each of ours."""
    scales = 4 * 2 ** (torch.arange(3) / 3)
    ratios = torch.tensor([0.5, 1.0, 2.0]).sqrt()
    width, height = (stride / ratios[:, None] * scales), (stride * ratios[:, None] * scales)
    sizes = torch.stack([width.flatten(), height.flatten()], dim=1)
    theirs = torch.cat([-sizes / 2, sizes / 2], dim=1)
    distance = (anchors[:, None] - theirs).abs().amax(dim=2)
    order = distance.argmin(dim=1)
    assert distance.amin(dim=1).max() < 1e-4 * stride and len(set(order.tolist())) == 9
    return order


@pytest.mark.slow
@torch.no_grad()
def test_improved_baseline_of_united_perception(tmp_path, caplog, image):
    state = foreign.united_perception(foreign.random_tensor, NUM_CLASSES)
    cfg, model = load(tmp_path, caplog, state | _statistics("post_process.cls_loss"))
    features = foreign.torchvision_features(state, image)
    lateral = [f"neck.c{i}_lateral" for i in (3, 4, 5)]
    output = [f"neck.p{i}_conv" for i in (3, 4, 5)]
    top, levels = foreign.fpn(state, features[1:], lateral, output)
    levels.append(foreign.conv(state, "neck.p6_conv", top, 2))
    levels.append(foreign.conv(state, "neck.p7_conv", levels[-1], 2))

    found = list(features_of(cfg, model, image).values())
    all_logits, all_deltas, all_ious = model.head(found)
    for i, level in enumerate(levels):
        assert_close(found[i], level)
        branches = []
        for branch in ("cls_subnet", "box_subnet"):
            x = level
            for k in range(0, 12, 3):
                x = foreign.conv(state, f"roi_head.{branch}.{k}", x)
                norm = [state[f"roi_head.{branch}.{k + 1}.{kind}"] for kind in ("weight", "bias")]
                x = F.group_norm(x, 32, *norm).relu()
            branches.append(x)
        assert_close(all_logits[i], foreign.conv(state, "roi_head.cls_subnet_pred", branches[0]))
        assert_close(all_deltas[i], foreign.conv(state, "roi_head.box_subnet_pred", branches[1]))
        assert_close(all_ious[i], foreign.conv(state, "roi_head.iou_pred", branches[1]))


def _statistics(loss):
    pos, neg = torch.tensor([5.0, 2.0, 1.0, 0.5]), torch.tensor([4.0, 4.0, 4.0, 4.0])
    ratio = pos / neg if "bbox" in loss else (pos / neg).clamp(max=1)
    return {f"{loss}.pos_grad": pos, f"{loss}.neg_grad": neg, f"{loss}.pos_neg": ratio}

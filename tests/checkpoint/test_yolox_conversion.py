"""YOLOX-IP of United-Perception and the backbone of Megvii's YOLOX: what the converted compute."""

import pytest
import torch
import torch.nn.functional as F
from detectron2.modeling import build_model

from eql_d2 import InputError
from eql_d2.checkpoint import EQLCheckpointer
from tests.checkpoint.converted import (
    assert_close,
    assert_refused_in_one_line,
    config_of,
    convert,
    with_statistics,
)
from tests.reference import yolox
from tests.reference.foreign_models import empty_tensor

C = 4
FACTORS = {"S": (0.33, 0.5), "M": (0.67, 0.75)}
LOSS = "post_process.cls_loss"
STATISTICS = ("pos_grad", "neg_grad", "pos_neg")
BOTTLENECK = "backbone.dark2.1.m.0.conv1.conv.weight"


def yolox_ip(make=empty_tensor, size="S", num_classes=C):
    return yolox.state_dict(make, yolox.UNITED_PERCEPTION, size, num_classes, 2)


def megvii(make=empty_tensor, size="S"):
    return yolox.state_dict(make, yolox.MEGVII, size, 80, 1)


def average_of(state):
    return {"ema_state_dict": state, "decay": 0.9998, "warmup": 1, "inner_T": 1}


def changed(state, **changes):
    return {**state, **{name.replace("__", "."): value for name, value in changes.items()}}


def on_meta(cfg):
    with torch.device("meta"):
        cfg.MODEL.DEVICE = "meta"
        return build_model(cfg)


@pytest.fixture
def image():
    torch.manual_seed(0)
    return torch.rand(3, 64, 96) * 2


@pytest.mark.parametrize("num_classes", [C, 1203])
@pytest.mark.parametrize("size", FACTORS)
def test_tensors_are_exactly_those_of_the_model_that_the_command_builds(
    tmp_path, size, num_classes
):
    statistics = {f"{LOSS}.{name}": torch.ones(num_classes) for name in STATISTICS}
    report, weights = convert(tmp_path, yolox_ip(empty_tensor, size, num_classes) | statistics)
    assert report.startswith(f"YOLOX-IP-{size} of United-Perception with {num_classes} classes")
    assert "--eval-only" in report and "dropped" in report and "pos_neg (1)" in report
    cfg = config_of(report)
    own = on_meta(cfg).state_dict()
    assert {n: v.shape for n, v in weights.items()} == {n: v.shape for n, v in own.items()}
    model = cfg.MODEL
    assert (model.META_ARCHITECTURE, model.EQL.LOSS) == ("EQLYOLOXIP", "EFL")
    assert (model.YOLOX.DEPTH, model.YOLOX.WIDTH) == FACTORS[size]
    assert (model.YOLOX.STEM_ORDER, model.YOLOX.NECK_SHORTCUT) == ("row_major", True)
    assert (cfg.INPUT.FORMAT, model.PIXEL_MEAN, model.PIXEL_STD) == ("BGR", [0] * 3, [1] * 3)
    assert (model.RETINANET.NMS_THRESH_TEST, model.RETINANET.TOPK_CANDIDATES_TEST) == (0.65, 1000)
    assert model.ANCHOR_GENERATOR.SIZES == [[24, 32], [48, 64], [96, 128]]
    assert (model.ANCHOR_GENERATOR.OFFSET, model.ANCHOR_GENERATOR.ASPECT_RATIOS) == (0, [[1]])
    assert cfg.INPUT.MIN_SIZE_TEST == cfg.INPUT.MAX_SIZE_TEST == 640
    assert (model.RETINANET.SCORE_THRESH_TEST, cfg.TEST.DETECTIONS_PER_IMAGE) == (0, 300)


@torch.no_grad()
@pytest.mark.parametrize("size", FACTORS)
def test_converted_model_computes_what_united_perception_does(tmp_path, caplog, image, size):
    state = yolox_ip(yolox.random_tensor, size)
    sums = {"pos_grad": [1.0, 2.0, 3.0, 4.0], "neg_grad": [8.0, 8.0, 1.0, 16.0]}
    statistics = {f"{LOSS}.{kind}": torch.tensor(values) for kind, values in sums.items()}
    statistics[f"{LOSS}.pos_neg"] = torch.tensor([0.125, 0.25, 1.0, 0.25])
    report, weights = convert(tmp_path, state | statistics)
    cfg = config_of(report)
    model = build_model(cfg).eval()
    EQLCheckpointer(model).load(cfg.MODEL.WEIGHTS)
    assert not [r.message for r in caplog.records if r.levelname != "INFO"]
    for kind, values in sums.items():
        assert getattr(model.loss_cls.statistics, kind).tolist() == values

    reference = yolox.Network(state, yolox.UNITED_PERCEPTION, size, shortcut=True, by_rows=True)
    square = F.pad(image, (0, 0, 0, 32))[None]
    expected = reference.features(square)
    found = list(model.backbone(model.preprocess_image([{"image": image}]).tensor).values())
    outputs = zip(*model.head(found))
    for feature, level, output, predictions in zip(
        found, expected, outputs, reference.head(expected), strict=True
    ):
        assert_close(feature, level)
        assert [layer.shape[1] for layer in output] == [2 * C, 2 * 4, 2]
        for layer, prediction in zip(output, predictions, strict=True):
            assert_close(layer, prediction)


def test_moving_average_is_converted_and_the_sums_are_those_of_the_training(tmp_path):
    state = with_statistics(yolox_ip(), LOSS)
    state[f"{LOSS}.pos_neg"] = state[f"{LOSS}.pos_neg"].clamp(max=1)
    average = {name: 0.5 * value for name, value in state.items()}
    trained = {f"module.{name}": value for name, value in state.items()}
    report, weights = convert(tmp_path, trained, ema=average_of(average), epoch=300)
    assert torch.equal(weights["head.stems.0.conv.weight"], torch.full((128, 128, 1, 1), 0.5))
    for kind in ("pos_grad", "neg_grad"):
        value = weights[f"loss_cls.statistics.{kind}"]
        assert torch.equal(value, state[f"{LOSS}.{kind}"].double())
    assert "note: weights are the moving average in the file (ema)" in report
    assert "has no moving average" not in report and "dropped: epoch (1)" in report
    assert "MODEL.EQL.LOSS EQFL" in report

    report, weights = convert(tmp_path, yolox_ip(), ema={"updates": 1})
    assert weights["head.stems.0.conv.weight"].eq(1).all()
    assert "note: the file has no moving average of the weights (ema)" in report
    assert "dropped: ema (1): not part of the model" in report
    assert config_of(report).MODEL.EQL.LOSS == "FocalLoss"

    for wrong in (changed(state, neck__p6=torch.ones(1)), {"a": torch.ones(1)}):
        with pytest.raises(InputError, match="moving average .* have different tensors"):
            convert(tmp_path, state, ema=average_of(wrong))


def test_class_head_of_branch_main_is_sorted_and_its_statistics_are_dropped(tmp_path):
    state = with_statistics(yolox_ip(), LOSS, ratio=torch.ones(C))
    for level in range(3):  # channel c * A + a
        value = torch.tensor([0, 10, 1, 11, 2, 12, 3, 13.0]) + 100 * level
        state[f"roi_head.cls_preds.{level}.bias"] = value
        state[f"roi_head.cls_preds.{level}.weight"] = value.view(8, 1, 1, 1).expand(8, 128, 1, 1)
    report, weights = convert(tmp_path, state, "united-perception-main")
    for level in range(3):
        expected = torch.tensor([0, 1, 2, 3, 10, 11, 12, 13.0]) + 100 * level
        assert torch.equal(weights[f"head.cls_preds.{level}.bias"], expected)
        assert torch.equal(weights[f"head.cls_preds.{level}.weight"][:, 5, 0, 0], expected)
    assert not [name for name in weights if "statistics" in name]
    assert "(3): gradients that were summed in the order of the anchors" in report


@torch.no_grad()
@pytest.mark.parametrize("size", FACTORS)
def test_backbone_and_neck_of_megvii(tmp_path, image, size):
    state = megvii(yolox.random_tensor, size)
    report, weights = convert(tmp_path, state, start_epoch=300)
    assert report.startswith(f"backbone and neck of Megvii's YOLOX-{size}: ")
    assert report.count(": the head, which has other classes and no anchors") == 1
    assert "trained without shortcut: MODEL.YOLOX.NECK_SHORTCUT False" in report
    assert "--eval-only" not in report
    cfg = config_of(report)
    model = build_model(cfg).eval()
    head = {name: value.clone() for name, value in model.head.state_dict().items()}
    EQLCheckpointer(model).load(cfg.MODEL.WEIGHTS)
    assert all(torch.equal(value, head[name]) for name, value in model.head.state_dict().items())
    assert weights.keys() == {n for n in model.state_dict() if n.startswith("backbone.")}
    assert cfg.MODEL.YOLOX.STEM_ORDER == "row_major"

    reference = yolox.Network(state, yolox.MEGVII, size, shortcut=False, by_rows=False)
    square = F.pad(image, (0, 0, 0, 32))[None]
    found = model.backbone(model.preprocess_image([{"image": image}]).tensor)
    for feature, level in zip(found.values(), reference.features(square), strict=True):
        assert_close(feature, level)


REFUSED = {
    "a tensor too many": (
        lambda: changed(yolox_ip(), neck__p3_conv__conv__weight=torch.ones(1)),
        r"YOLOX-IP-S .*1 tensor is not known \(neck.p3_conv.conv.weight\)",
    ),
    "missing": (
        lambda: {n: v for n, v in yolox_ip().items() if "reg_preds.2" not in n},
        r"2 tensors are missing \(roi_head.reg_preds.2.weight, roi_head.reg_preds.2.bias\)",
    ),
    "a narrower branch": (
        lambda: changed(
            yolox_ip(), roi_head__cls_convs__1__0__conv__weight=torch.ones(96, 128, 3, 3)
        ),
        r"roi_head.cls_convs.1.0.conv.weight \(96, 128, 3, 3\) instead of \(128, 128, 3, 3\)",
    ),
    "another width": (
        lambda: changed(yolox_ip(), backbone__stem__conv_block__conv__weight=torch.ones(40, 12, 3)),
        r"a stem .* of 40 channels and 1 bottlenecks .* only YOLOX-Tiny, S, M, L and X can be",
    ),
    "another depth": (
        lambda: {n: v for n, v in yolox_ip().items() if n != BOTTLENECK},
        "of 32 channels and 0 bottlenecks",
    ),
    "classes of one level": (
        lambda: changed(yolox_ip(), roi_head__cls_preds__1__bias=torch.ones(2 * C + 2)),
        r"1 tensor is of another shape \(roi_head.cls_preds.1.bias \(10,\) instead of \(8,\)",
    ),
    "one anchor": (
        lambda: yolox.state_dict(empty_tensor, yolox.UNITED_PERCEPTION, "S", C, 1),
        r"12 tensors are of another shape \(roi_head.reg_preds.0.weight \(4, 128, 1, 1\) instead "
        r"of \(8, 128, 1, 1\)",
    ),
    "classes of the statistics": (
        lambda: {**yolox_ip(), **{f"{LOSS}.{n}": torch.ones(5) for n in STATISTICS}},
        r"2 tensors are of another shape \(post_process.cls_loss.pos_grad \(5,\) instead of \(4,",
    ),
    "YOLOX without a head": (
        lambda: {n: v for n, v in megvii().items() if "head" not in n},
        "the file has no head of YOLOX .* files of this project need no conversion",
    ),
    "a file of this project": (
        lambda: yolox.state_dict(empty_tensor, yolox.MEGVII, "S", C, 2),
        "the file has no head of YOLOX .* files of this project need no conversion",
    ),
    "depthwise convolutions": (
        lambda: changed(megvii(), backbone__bu_conv1__dconv__conv__weight=torch.ones(256, 1, 3, 3)),
        r"1 tensor is not known \(backbone.bu_conv1.dconv.conv.weight\)",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused_in_one_line(tmp_path, name):
    state, message = REFUSED[name]
    assert_refused_in_one_line(tmp_path, state(), message)

"""Which files are converted, and what is printed."""

import re
import sys

import pytest
import torch
from detectron2.modeling import build_model

from eql_d2 import InputError
from eql_d2.checkpoint import __main__ as command
from tests.checkpoint.converted import (
    PREDICTOR,
    config_of,
    convert,
    efl,
    eql,
    mask_rcnn,
    with_statistics,
)
from tests.reference import foreign_models
from tests.reference.foreign_models import empty_tensor

FILES = {
    "eql, LVIS v0.5": lambda: eql(1230, 1230),
    "eql.detectron2, softmax": lambda: eql(4, 5),
    "eql, R-101": lambda: eql(num_blocks=(3, 4, 23, 3)),
    "eqlv2, LVIS v1": lambda: mask_rcnn(1203, 1204),
    "eqlv2, EQL": lambda: mask_rcnn(1203, 1203),
    "eqlv2, R-101": lambda: mask_rcnn(depth=101),
    "mmdet RetinaNet": lambda: foreign_models.mmdet_retinanet(empty_tensor, 80),
    "mmdet RetinaNet, LVIS v1, R-101": lambda: foreign_models.mmdet_retinanet(
        empty_tensor, 1203, 101
    ),
    "EFL, LVIS v1": lambda: efl(1203),
    "EFL, R-101": lambda: efl(500, 101),
}


@pytest.mark.parametrize("name", FILES)
def test_tensors_are_exactly_those_of_the_model_that_the_command_builds(tmp_path, name):
    report, weights = convert(tmp_path, FILES[name]())
    cfg = config_of(report)
    with torch.device("meta"):
        cfg.MODEL.DEVICE = "meta"
        own = build_model(cfg).state_dict()
    expected = {n: v.shape for n, v in own.items() if "statistics" not in n}
    assert {n: v.shape for n, v in weights.items()} == expected
    assert cfg.MODEL.WEIGHTS == str(tmp_path / "converted.pth")
    is_msra = "eql.detectron2" in report
    assert cfg.INPUT.FORMAT == ("BGR" if is_msra else "RGB")
    assert cfg.MODEL.RESNETS.STRIDE_IN_1X1 == is_msra


def test_faster_rcnn_has_no_mask_head(tmp_path):
    state = {name: value for name, value in mask_rcnn().items() if "mask" not in name}
    report, weights = convert(tmp_path, state)
    assert not config_of(report).MODEL.MASK_ON
    assert len(weights) == len([n for n in state if not n.endswith("num_batches_tracked")])


def test_classifier_of_eql_gets_an_unused_column_for_the_background(tmp_path):
    state = eql()
    name = f"{PREDICTOR}.cls_score"
    state[f"{name}.weight"], state[f"{name}.bias"] = torch.randn(4, 1024), torch.randn(4)
    report, weights = convert(tmp_path, state)
    assert torch.equal(weights[f"{name}.weight"][:4], state[f"{name}.weight"])
    assert torch.equal(weights[f"{name}.bias"][:4], state[f"{name}.bias"])
    assert not weights[f"{name}.weight"][4].any()
    torch.testing.assert_close(weights[f"{name}.bias"][4].sigmoid(), torch.tensor(0.001))
    assert config_of(report).MODEL.EQL.LOSS == "EQL"


@pytest.mark.parametrize(
    "state, theirs, ours, largest, loss",
    [
        (mask_rcnn, "roi_head.bbox_head.loss_cls", f"{PREDICTOR}.loss_cls", torch.inf, "EQLv2"),
        (efl, "post_process.cls_loss", "loss_cls", 1, "EFL"),
    ],
)
def test_statistics_come_along_in_float64(tmp_path, state, theirs, ours, largest, loss):
    state = with_statistics(state(), theirs)
    state[f"{theirs}.pos_neg"] = state[f"{theirs}.pos_neg"].clamp(max=largest)
    report, weights = convert(tmp_path, state)
    for name in ("pos_grad", "neg_grad"):
        value = weights[f"{ours}.statistics.{name}"]
        assert value.dtype == torch.float64
        assert torch.equal(value, state[f"{theirs}.{name}"].double())
    cfg = config_of(report)
    assert cfg.MODEL.EQL.LOSS == loss
    with torch.device("meta"):
        cfg.MODEL.DEVICE = "meta"
        own = build_model(cfg).state_dict()
    assert {n: v.shape for n, v in weights.items()} == {n: v.shape for n, v in own.items()}

    state[f"{theirs}.pos_neg"] = state[f"{theirs}.pos_neg"] / 2
    with pytest.raises(InputError, match="pos_neg is not the ratio"):
        convert(tmp_path, state)
    state[f"{theirs}.neg_grad"][1] = torch.nan
    report, weights = convert(tmp_path, state)
    assert not [name for name in weights if "statistics" in name]
    assert "(3): gradients that are not finite" in report


def test_loss_is_known_by_the_columns_the_statistics_or_the_config_in_the_file(tmp_path):
    def loss_of(state, **others):
        report = convert(tmp_path, state, **others)[0]
        return config_of(report).MODEL.EQL.LOSS, "does not say which loss" in report

    assert loss_of(mask_rcnn(4, 4)) == ("EQL", False)
    for name in ("EQLv2", "EQLV2Loss"):
        meta = {"config": f"loss_cls=dict(type='{name}', num_classes=4)", "epoch": 12}
        assert loss_of(mask_rcnn(), meta=meta) == ("EQLv2", False)
    assert loss_of(mask_rcnn(), meta={"cfg": "type='CrossEntropyLoss'"}) == ("SoftmaxCE", False)
    assert loss_of(mask_rcnn()) == ("EQLv2", True)


def test_boxes_of_united_perception_come_out_as_its_own_code_writes_them(tmp_path):
    report, _ = convert(tmp_path, efl())
    assert config_of(report).MODEL.META_ARCHITECTURE == "EQLImprovedBaselineLegacyBoxes"
    assert "from corner to corner: MODEL.META_ARCHITECTURE moves their ends" in report


def test_class_head_of_branch_main_is_sorted_and_its_statistics_are_dropped(tmp_path):
    state = with_statistics(efl(), "post_process.cls_loss", ratio=torch.ones(4))
    # Channel c * A + a
    state["roi_head.cls_subnet_pred.bias"] = torch.tensor([0, 10, 1, 11, 2, 12, 3, 13.0])
    report, weights = convert(tmp_path, state, "united-perception-main")
    assert weights["head.cls_score.bias"].tolist() == [0, 1, 2, 3, 10, 11, 12, 13]
    assert not [name for name in weights if "statistics" in name]
    assert "(3): gradients that were summed in the order of the anchors" in report


def test_everything_that_is_left_out_is_printed_with_a_reason(tmp_path):
    report, _ = convert(tmp_path, efl(), optimizer={"state": {}}, epoch=24)
    assert "dropped: epoch, optimizer (2): not part of the model" in report
    assert "(54): counters of batch norm" in report
    assert "backbone.layer0.0.weight, backbone.layer0.1.bias, " in report
    assert "(5): second names of conv1 and bn1" in report
    report, _ = convert(tmp_path, eql())
    assert "anchor_generator.cell_anchors.2, ... (5): anchors" in report


def test_names_of_a_model_that_was_trained_in_parallel_are_understood(tmp_path):
    state = efl()
    parallel = {f"module.{name}": value for name, value in state.items()}
    assert convert(tmp_path, parallel)[1].keys() == convert(tmp_path, state)[1].keys()


def test_command_prints_what_belongs_to_the_file_and_errors_in_one_line(
    tmp_path, monkeypatch, capsys
):
    source, destination = str(tmp_path / "source.pth"), str(tmp_path / "converted.pth")
    torch.save({"model": eql()}, source)
    arguments = ["checkpoint", "convert", source, destination, "--from", "eql.detectron2"]
    monkeypatch.setattr(sys, "argv", arguments)
    command.main()
    printed = capsys.readouterr().out
    assert re.match(r"Mask R-CNN R-50 FPN of eql.detectron2 with 4 classes: \d+ tensors", printed)
    assert config_of(printed).INPUT.FORMAT == "BGR"

    arguments[3] = str(tmp_path / "nowhere" / "converted.pth")
    with pytest.raises(SystemExit, match="^error: .*nowhere"):
        command.main()
    arguments[2] = str(tmp_path / "nothing.pth")
    with pytest.raises(SystemExit, match="^error: checkpoint .*nothing.pth' does not exist"):
        command.main()

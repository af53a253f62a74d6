"""Which files are converted, what is printed, and what is refused."""

import itertools
import os
import pickle
import re
import shlex
import sys
from pathlib import Path

import pytest
import torch
from detectron2.config import get_cfg
from detectron2.modeling import build_model

from eql_d2 import InputError, add_eql_config
from eql_d2.checkpoint import __main__ as command
from eql_d2.checkpoint.conversion import convert_checkpoint
from tests.reference import foreign_models
from tests.reference.foreign_models import empty_tensor

ROOT = Path(__file__).parents[2]
PREDICTOR = "roi_heads.box_predictor"


def config_of(report):
    """Config of the printed command."""
    words = shlex.split(report.splitlines()[-1])
    assert words[0] == "train_net.py" and words[3:5] == ["--eval-only", "MODEL.WEIGHTS"]
    cfg = get_cfg()
    add_eql_config(cfg)
    cfg.merge_from_file(str(ROOT / words[2]))
    cfg.merge_from_list([*words[4:], "MODEL.DEVICE", "cpu"])
    return cfg


def convert(tmp_path, state, family=None, **others):
    """Report and tensors of a file with the state."""
    key = "model" if "roi_heads.box_predictor.cls_score.weight" in state else "state_dict"
    torch.save({key: state, **others}, tmp_path / "source.pth")
    report = convert_checkpoint(
        str(tmp_path / "source.pth"), str(tmp_path / "converted.pth"), family
    )
    return report, torch.load(tmp_path / "converted.pth")["model"]


def mask_rcnn(num_classes=4, num_columns=5, depth=50):
    return foreign_models.mmdet_mask_rcnn(empty_tensor, num_classes, num_columns, depth)


def eql(num_classes=4, num_columns=4, **kwargs):
    return foreign_models.eql_detectron2(empty_tensor, num_classes, num_columns, **kwargs)


def efl(num_classes=4, depth=50):
    return foreign_models.united_perception(empty_tensor, num_classes, depth)


def with_statistics(state, loss, ratio=None, num_classes=4):
    pos, neg = torch.rand(num_classes) * 100, torch.rand(num_classes) * 100
    statistics = {
        "pos_grad": pos,
        "neg_grad": neg,
        "pos_neg": pos / neg if ratio is None else ratio,
    }
    return {**state, **{f"{loss}.{name}": value for name, value in statistics.items()}}


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


def changed(state, **changes):
    return {**state, **{name.replace("__", "."): value for name, value in changes.items()}}


def without(state, *names):
    return {name: value for name, value in state.items() if name not in names}


REFUSED = {
    "a tensor too many": (
        lambda: changed(mask_rcnn(), roi_head__bbox_head__weight_scaler=torch.ones(5)),
        r"1 tensor is not known \(roi_head.bbox_head.weight_scaler\): other heads \(LWS, BAGS\)",
    ),
    "group columns": (
        lambda: mask_rcnn(4, 9),
        r"2 tensors are of another shape \(roi_head.bbox_head.fc_cls.weight \(9, 1024\) instead "
        r"of \(5, 1024\), ",
    ),
    "missing": (
        lambda: without(
            efl(), "neck.p7_conv.bias", *(f"roi_head.iou_pred.{k}" for k in ("weight", "bias"))
        ),
        r"3 tensors are missing \(",
    ),
    "missing in the backbone": (
        lambda: without(mask_rcnn(), "backbone.layer2.1.bn2.running_var"),
        r"1 tensor is missing \(backbone.layer2.1.bn2.running_var\)",
    ),
    "another shape": (
        lambda: changed(eql(), roi_heads__mask_head__predictor__bias=torch.ones(3)),
        r"1 tensor is of another shape \(roi_heads.mask_head.predictor.bias \(3,\) instead of \(4",
    ),
    "not finite": (
        lambda: changed(eql(), backbone__fpn_output3__bias=torch.full((256,), torch.nan)),
        r"1 tensor is not finite \(backbone.fpn_output3.bias\)",
    ),
    "copies that differ": (
        lambda: changed(efl(), backbone__layer0__1__bias=torch.zeros(64)),
        "backbone.layer0.1.bias is not equal to its first name backbone.bn1.bias",
    ),
    "ResNeXt": (
        lambda: changed(mask_rcnn(), backbone__layer1__0__conv2__weight=torch.ones(64, 2, 3, 3)),
        "1 tensor is of another shape",
    ),
    "depth": (
        lambda: eql(num_blocks=(2, 2, 2, 2)),
        "third stage of the file's backbone has 2 blocks",
    ),
    "YOLOX": (lambda: {"roi_head.cls_preds.0.weight": torch.ones(1)}, "YOLOX-IP"),
    "ATSS": (lambda: {"bbox_head.atss_cls.weight": torch.ones(1)}, "ATSS of mmdet"),
    "cascade": (lambda: {"roi_head.bbox_head.0.fc_cls.weight": torch.ones(1)}, "a cascade"),
    "another model": (lambda: {"conv1.weight": torch.ones(1)}, "first tensors are conv1.weight"),
    "no tensor": (lambda: {"conv1.weight": 1}, "'conv1.weight' of .* is no tensor"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused_in_one_line(tmp_path, name):
    state, message = REFUSED[name]
    with pytest.raises(InputError, match=message) as error:
        convert(tmp_path, state())
    assert "\n" not in str(error.value)
    assert os.listdir(tmp_path) == ["source.pth"]


def test_another_family_than_that_of_the_names_is_refused(tmp_path):
    with pytest.raises(InputError, match="not named as in eqlv2: leave out --from or give mmdet"):
        convert(tmp_path, foreign_models.mmdet_retinanet(empty_tensor, 4), "eqlv2")
    for family in ("eqlv2", "mmdet"):
        assert "of eqlv2 or mmdet" in convert(tmp_path, mask_rcnn(), family)[0]


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (Path(self.path),)


@pytest.mark.parametrize("form", ["zip", "legacy", "pickle"])
def test_file_that_would_run_code_is_refused_and_does_not_run(tmp_path, form):
    path, trace = tmp_path / "source.pth", tmp_path / "trace"
    content = {"state_dict": {"a": torch.zeros(1)}, "meta": Evil(str(trace))}
    if form == "pickle":
        path.write_bytes(pickle.dumps({"meta": Evil(str(trace))}, protocol=2))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(InputError, match=r"holds \S+, no tensor; loading it could run") as error:
        convert_checkpoint(str(path), str(tmp_path / "converted.pth"))
    assert "\n" not in str(error.value)
    assert not trace.exists() and not (tmp_path / "converted.pth").exists()


def test_damaged_file_is_refused_in_one_line(tmp_path):
    path = tmp_path / "source.pth"
    for zipped, content in itertools.product((True, False), range(4)):
        torch.save({"a": torch.zeros(9999)}, path, _use_new_zipfile_serialization=zipped)
        whole = path.read_bytes()
        path.write_bytes([b"", whole[:30], whole[:5000], b"no checkpoint at all " * 99][content])
        with pytest.raises(InputError, match="source.pth' cannot be read .*copy it") as error:
            convert_checkpoint(str(path), str(tmp_path / "converted.pth"))
        assert "\n" not in str(error.value)
    for nothing in ([1], {}, {"model": {}}):
        torch.save(nothing, path)
        with pytest.raises(InputError, match="holds no model"):
            convert_checkpoint(str(path), str(tmp_path / "converted.pth"))


def test_destination_that_would_not_load_or_is_the_source_is_refused(tmp_path):
    with pytest.raises(InputError, match="a name that ends in .pth"):
        convert_checkpoint("source.pth", str(tmp_path / "converted.pkl"))
    with pytest.raises(InputError, match="is the source itself"):
        convert_checkpoint(str(tmp_path / "a.pth"), f"{tmp_path}/./a.pth")


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

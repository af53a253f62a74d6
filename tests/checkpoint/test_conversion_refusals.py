"""What the converter refuses, and that nothing is written then."""

import itertools
import pickle
from pathlib import Path

import pytest
import torch

from eql_d2 import InputError
from eql_d2.checkpoint.conversion import convert_checkpoint
from tests.checkpoint.converted import assert_refused_in_one_line, convert, efl, eql, mask_rcnn
from tests.reference import foreign_models
from tests.reference.foreign_models import empty_tensor


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
    "ATSS": (lambda: {"bbox_head.atss_cls.weight": torch.ones(1)}, "ATSS of mmdet"),
    "cascade": (lambda: {"roi_head.bbox_head.0.fc_cls.weight": torch.ones(1)}, "a cascade"),
    "another model": (lambda: {"conv1.weight": torch.ones(1)}, "first tensors are conv1.weight"),
    "no tensor": (lambda: {"conv1.weight": 1}, "'conv1.weight' of .* is no tensor"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused_in_one_line(tmp_path, name):
    state, message = REFUSED[name]
    assert_refused_in_one_line(tmp_path, state(), message)


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

"""Foreign files and what is made of them, for the tests of the converter."""

import os
import shlex

import pytest
import torch
from detectron2.config import get_cfg

from eql_d2 import InputError, add_eql_config
from eql_d2.checkpoint.conversion import convert_checkpoint
from tests.reference import foreign_models
from tests.reference.foreign_models import empty_tensor

PREDICTOR = "roi_heads.box_predictor"


def config_of(report):
    """Config of the printed command."""
    words = shlex.split(report.splitlines()[-1])
    assert words[:4] == ["python", "-m", "eql_d2.engine", "--config-file"]
    overrides = words[6:] if words[5] == "--eval-only" else words[5:]
    assert overrides[0] == "MODEL.WEIGHTS"
    cfg = get_cfg()
    add_eql_config(cfg)
    cfg.merge_from_file(words[4])
    cfg.merge_from_list([*overrides, "MODEL.DEVICE", "cpu"])
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


def assert_close(found, expected):
    """Within 1e-4 of the spread of the values; random weights of many layers make them large."""
    spread = expected.std()
    assert spread > 0.01  # neither dead nor constant
    torch.testing.assert_close(found / spread, expected / spread, rtol=1e-4, atol=1e-4)


def assert_refused_in_one_line(tmp_path, state, message):
    with pytest.raises(InputError, match=message) as error:
        convert(tmp_path, state)
    assert "\n" not in str(error.value)
    assert os.listdir(tmp_path) == ["source.pth"]

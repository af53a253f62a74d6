"""Copy-paste in a yaml config and a LazyConfig: wrong values end a run at its start."""

import re

import pytest

from eql_d2 import InputError
from eql_d2.engine import check_lazy, load_lazy
from tests.engine.test_config_checks import MOSAIC, problems
from tests.engine.test_lazy_checks import LAZY, NAMES, OWN_DATA

COPY_PASTE = ("INPUT.COPY_PASTE.ENABLED", True, "INPUT.MASK_FORMAT", "bitmask")


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (("INPUT.COPY_PASTE.PROB", 1.5), r"\(INPUT.COPY_PASTE.PROB\) is 1.5: give a probability"),
        (("INPUT.COPY_PASTE.INSTANCES", 0), r"\(INPUT.COPY_PASTE.INSTANCES\) is 0: give a whole"),
        (("INPUT.COPY_PASTE.SCALE", (0, 1)), r"\(INPUT.COPY_PASTE.SCALE\) is \(0, 1\): give the"),
        (("INPUT.COPY_PASTE.REPEAT_THRESHOLD", 2.0), r"_THRESHOLD\) is 2.0: give a share"),
        (("INPUT.MASK_FORMAT", "polygon", "MODEL.MASK_ON", True), "'polygon', but .* to bitmask"),
        (("MODEL.KEYPOINT_ON", True), "^MODEL.KEYPOINT_ON is True, but copy-paste"),
        (MOSAIC, "^INPUT.COPY_PASTE.ENABLED and INPUT.MOSAIC.ENABLED are True: .* set one of them"),
        (("MODEL.META_ARCHITECTURE", "ImageClassifier"), "Classifier is trained on .* to False$"),
        (("MODEL.META_ARCHITECTURE", "SemanticSegmentor"), "Segmentor is trained on .* to False$"),
        (("MODEL.META_ARCHITECTURE", "PanopticFPN"), "PanopticFPN is trained on .* to False$"),
    ],
)
def test_a_wrong_value_gets_one_line(tiny_cfg, overrides, expected):
    tiny_cfg.MODEL.EQL.LOSS = "SoftmaxEQL"
    assert problems(tiny_cfg, *COPY_PASTE) == []
    (line,) = problems(tiny_cfg, *COPY_PASTE, *overrides)
    assert re.search(expected, line), line
    assert problems(tiny_cfg, *COPY_PASTE, *overrides, "INPUT.COPY_PASTE.ENABLED", False) == []
    assert problems(tiny_cfg, *COPY_PASTE, *overrides, training=False) == []


def test_boxes_alone_need_no_other_format_of_masks(tiny_cfg):
    only_boxes = ("MODEL.MASK_ON", False, "INPUT.MASK_FORMAT", "polygon")
    assert problems(tiny_cfg, *COPY_PASTE, *only_boxes) == []


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], None),
        (["dataloader.train.copy_paste.prob=2"], "^prob of CopyPaste .* is 2: give a probability"),
        (["dataloader.train.copy_paste.repeat_threshold=5"], "^repeat_threshold .* 5: give a sh"),
    ],
)
def test_a_lazy_config_is_checked(tmp_path, words, expected):
    file = tmp_path / "config.py"
    file.write_text(
        f"""
from detectron2.config import LazyCall as L, LazyConfig
from eql_d2.data import CopyPaste, build_copy_paste_train_loader

cfg = LazyConfig.load({str(LAZY)!r})
model, optimizer, lr_multiplier, train = cfg.model, cfg.optimizer, cfg.lr_multiplier, cfg.train
dataloader = cfg.dataloader
dataloader.train._target_ = build_copy_paste_train_loader
dataloader.train.copy_paste = L(CopyPaste)()
"""
    )
    cfg = load_lazy(str(file), [*NAMES, *words])
    check_lazy(cfg, OWN_DATA, training=False)
    if expected is None:
        check_lazy(cfg, OWN_DATA, training=True)
        return
    with pytest.raises(InputError, match=expected) as error:
        check_lazy(cfg, OWN_DATA, training=True)
    assert len(error.value.problems) == 1
    with pytest.raises(InputError, match="mosaic is unknown: "):
        load_lazy(str(file), [*NAMES, "dataloader.train.mosaic=1"])

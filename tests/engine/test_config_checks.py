"""Wrong values of a yaml config end a run at its start, with a line for each; right ones do not."""

import math
import os
import re
import sys

import pytest
from detectron2.utils import comm
from detectron2.utils.file_io import PathManager

from eql_d2 import InputError
from eql_d2.config import leaves
from eql_d2.engine import Trainer, check_yaml, get_parser, launch
from eql_d2.engine.__main__ import main as train
from eql_d2.engine.config.rules import RULES
from eql_d2.refusals import building
from tests.conftest import as_retinanet

CONSTANT_END = ("SOLVER.LR_SCHEDULER_NAME", "WarmupCosineConstantLR")


def problems(cfg, *overrides, training=True):
    cfg = cfg.clone()
    for key, value in zip(overrides[::2], overrides[1::2]):
        node = cfg
        *path, name = key.split(".")
        for part in path:
            node = node[part]
        node[name] = value
    try:
        check_yaml(cfg, training)
    except InputError as error:
        assert all("\n" not in line for line in error.problems)
        return error.problems
    return []


def test_rules_are_of_keys_that_there_are(tiny_cfg):
    assert set(RULES) <= {key for key, _ in leaves(tiny_cfg)}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("TEST.EVAL_PERIOD", 0),
        ("TEST.DETECTIONS_PER_IMAGE", -1),  # Detectron2: all
        ("INPUT.MIN_SIZE_TEST", 0),  # Detectron2: images as they are
        ("INPUT.RANDOM_FLIP", "none"),
        ("SEED", -1),
        ("MODEL.WEIGHTS", ""),
        ("MODEL.EQL.LOG_PERIOD", 0),
        ("MODEL.EQL.PRIOR_PROB", "auto"),
        ("MODEL.EQL.EFL.ALPHA", -1.0),
        ("MODEL.RPN.BOUNDARY_THRESH", -1),
        ("MODEL.RPN.CONV_DIMS", [-1]),
        ("SOLVER.REFERENCE_WORLD_SIZE", 0),
        ("SOLVER.STEPS", ()),
        ("SOLVER.STEPS", (30000,)),  # beyond MAX_ITER: Detectron2 leaves it out, with a warning
        ("SOLVER.WARMUP_ITERS", 1000),  # the same: all of a short run is warm-up
        ("SOLVER.WEIGHT_DECAY_NORM", None),
        ("SOLVER.WEIGHT_DECAY_BIAS", None),
        ("SOLVER.WEIGHT_DECAY_OVERRIDES", ((r".*\.bias", 0.0), ["head.weight", 1e-4])),
        ("SOLVER.CONSTANT_ITERS", 10**6),  # of a schedule that does not read it
        ("MODEL.EMA.DECAY", 0.9998),
        ("MODEL.EMA.WARMUP", 0),
        ("TEST.AVERAGE_NORM", True),
        ("DATASETS.TEST", ()),
        ("DATALOADER.NUM_WORKERS", 0),
    ],
)
def test_special_values_are_right(tiny_cfg, key, value):
    assert problems(tiny_cfg) == problems(tiny_cfg, key, value) == []


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (("SOLVER.CHECKPOINT_PERIOD", 0), "is 0: give a whole number, 1 or more"),
        (("SOLVER.CHECKPOINT_PERIOD", -1), "is -1: give"),
        (("SOLVER.STEPS", (5, 3)), r"is \(5, 3\): give 0 or more values, rising"),
        (("SOLVER.STEPS", ("a",)), "each a whole number"),
        (("SOLVER.BASE_LR", math.nan), "is nan: give a number, above 0"),
        (("SOLVER.BASE_LR", None), "is None: give"),
        (("SOLVER.WEIGHT_DECAY", math.inf), "is inf: give"),
        (("SOLVER.MAX_ITER", 0), "is 0: give"),
        (("SOLVER.LR_SCHEDULER_NAME", "cosine"), "give one of 'WarmupMultiStepLR'"),
        (("SOLVER.NESTEROV", True, "SOLVER.MOMENTUM", 0.0), "give a momentum"),
        (("SOLVER.WEIGHT_DECAY_BIAS", "x"), "is 'x': give a number, 0 or more, or None"),
        (("SOLVER.WEIGHT_DECAY_OVERRIDES", (("(", 0.1),)), "is no pair of a regular expression"),
        (("SOLVER.WEIGHT_DECAY_OVERRIDES", ("bias", 0.1)), "'bias' in WEIGHT_DECAY_OVERRIDES"),
        (("SOLVER.CONSTANT_ITERS", -1), "is -1: give a whole number, 0 or more"),
        (("SOLVER.CONSTANT_EPOCHS", 0.5), "is 0.5: give a whole number"),
        (("SOLVER.BASE_LR_END", 1.0, *CONSTANT_END), "more than BASE_LR 0.01: the cosine ends"),
        (("SOLVER.CONSTANT_ITERS", 5, *CONSTANT_END), "no time is left for the cosine"),
        (
            ("SOLVER.CONSTANT_EPOCHS", 5, "SOLVER.EPOCHS", 7, "SOLVER.WARMUP_EPOCHS", 3)
            + CONSTANT_END,
            "CONSTANT_EPOCHS is 5, WARMUP_EPOCHS 3 and EPOCHS 7: no time is left",
        ),
        (("MODEL.EMA.DECAY", 1.0), "is 1.0: give a number, 0 or more and below 1"),
        (("MODEL.EMA.DECAY", math.nan), "is nan: give"),
        (("MODEL.EMA.WARMUP", -1), "is -1: give"),
        (("MODEL.EMA.DECAY", 0.9, "TEST.PRECISE_BN.ENABLED", True), "set it to False"),
        (("TEST.AVERAGE_NORM", "BN"), "give one of True, False"),
        (("TEST.EVAL_PERIOD", -1), "is -1: give a whole number, 0 or more"),
        (("TEST.DETECTIONS_PER_IMAGE", 0), "give 1 or more"),
        (("TEST.EXPECTED_RESULTS", [["bbox", "AP"]]), "give task, metric, value and tolerance"),
        (("INPUT.MIN_SIZE_TRAIN", ()), "1 or more values"),
        (("INPUT.MIN_SIZE_TRAIN_SAMPLING", "range"), "give the smallest and the largest size"),
        (("INPUT.MAX_SIZE_TEST", 0), "INPUT.MAX_SIZE_TEST is 0: give at least 1"),
        (("INPUT.FORMAT", "RGBX?"), "give one of 'BGR', 'RGB', 'L', 'YUV-BT.601'"),
        (("MODEL.PIXEL_MEAN", [1.0]), "MODEL.PIXEL_MEAN has 1 values, PIXEL_STD 3"),
        (("MODEL.ROI_HEADS.NUM_CLASSES", 0), "is 0: give"),
        (("MODEL.ANCHOR_GENERATOR.SIZES", []), "each 1 or more values, each a number, above 0"),
        (("MODEL.RPN.BBOX_REG_LOSS_TYPE", "l2"), "give one of 'smooth_l1'"),
        (("MODEL.RPN.NMS_THRESH", 7.0), "give a number, 0 to 1"),
        (("MODEL.RPN.CONV_DIMS", [math.nan]), "give finite numbers"),
        (("MODEL.RESNETS.NORM", "SyncBN"), "trains on GPUs only"),
        (("MODEL.DEVICE", "gpu"), "MODEL.DEVICE is 'gpu', which cannot be used"),
        (("MODEL.EQL.LOSS", "EQLV2"), "no such loss"),
        (("MODEL.EQL.PRIOR_PROB", 1.0), "prior_prob is 1.0"),
        (("MODEL.EQL.PRIOR_PROB", "automatic"), "prior_prob is automatic"),
        (("MODEL.EQL.FREQUENCY_THRESHOLDS", (10,)), r"frequency thresholds are \(10,\)"),
        (("MODEL.EQL.SEM_SEG.GROUP_BY", "classes"), "GROUP_BY is 'classes'"),
        (("MODEL.EQL.EQLV2.MU", math.nan), "MU is nan: give finite numbers"),
        (("MODEL.EQL.LOSS", "EFL", "MODEL.EQL.EFL.ALPHA", 2.0), "alpha of EFL is 2.0: give 0 to 1"),
        (
            ("MODEL.EQL.LOSS", "ClassWeightedSigmoidCE")
            + ("MODEL.EQL.CLASSWEIGHTEDSIGMOIDCE.WEIGHTING", "sqrt"),
            "'sqrt': choose one of inverse, square_root, effective_number",
        ),
        (("MODEL.EQL.CALIBRATION.NAME", "Norcal"), "choose NorCal"),
        (
            ("MODEL.EQL.CALIBRATION.NAME", "FRACAL", "MODEL.EQL.CALIBRATION.BETA", 1.0),
            "beta of FRACAL is 1.0",
        ),
        (("DATASETS.TRAIN", ()), "DATASETS.TRAIN is empty: name a data set"),
        (("DATASETS.TRAIN", ("tiny_trian",)), "is no data set: did you mean tiny_train?"),
        (("DATASETS.JSON", ("a", "b", "c")), "each in brackets"),
        (("DATALOADER.SAMPLER_TRAIN", "WeightedTrainingSampler"), "give one of 'TrainingSampler'"),
        (("DATALOADER.NUM_WORKERS", -1), "is -1: give"),
        (("OUTPUT_DIR", ""), "give a folder"),
        (("SEED", 2**40), "is 1099511627776: give"),
    ],
)
def test_a_wrong_value_gets_one_line(tiny_cfg, overrides, expected):
    (line,) = problems(tiny_cfg, *overrides)
    names_key = line.startswith(overrides[0].split(".")[0])
    assert names_key or "MODEL.EQL" in overrides[0] or "OVERRIDES" in overrides[0]
    assert re.search(expected, line), line


MOSAIC = ("INPUT.MOSAIC.ENABLED", True, "DATALOADER.ASPECT_RATIO_GROUPING", False)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (("INPUT.MOSAIC.SIZE", 1), r"\(INPUT.MOSAIC.SIZE\) is 1: give a whole number"),
        (("INPUT.MOSAIC.UNTIL", 1.5), r"\(INPUT.MOSAIC.UNTIL\) is 1.5: give the share"),
        (("INPUT.MOSAIC.PARTNERS", "all"), r"\(INPUT.MOSAIC.PARTNERS\) is 'all': give 'uniform'"),
        (("INPUT.MOSAIC.DEGREES", -1.0), r"\(INPUT.MOSAIC.DEGREES\) is -1.0: give"),
        (("INPUT.MOSAIC.SCALE", (0.0, 2.0)), r"\(INPUT.MOSAIC.SCALE\) is \(0.0, 2.0\): give"),
        (("INPUT.MOSAIC.SHEAR", 45.0), r"\(INPUT.MOSAIC.SHEAR\) is 45.0: give"),
        (("INPUT.MOSAIC.TRANSLATE", 2.0), r"\(INPUT.MOSAIC.TRANSLATE\) is 2.0: give"),
        (("INPUT.MOSAIC.MIXUP_PROB", math.nan), "INPUT.MOSAIC.MIXUP_PROB is nan: give finite"),
        (("INPUT.MOSAIC.MIXUP_SCALE", (2.0, 1.0)), r"\(INPUT.MOSAIC.MIXUP_SCALE\) is"),
        (("DATALOADER.ASPECT_RATIO_GROUPING", True), "GROUPING is True, but .* set it to False"),
        (("INPUT.HSV", (2.0, 0.7, 0.4)), r"\(INPUT.HSV\) is \(2.0, 0.7, 0.4\): give three gains"),
        (("INPUT.HSV", (0.7, 0.4)), r"\(INPUT.HSV\) is \(0.7, 0.4\): give three gains"),
        (("INPUT.HSV", (0.1,) * 3, "INPUT.FORMAT", "YUV-BT.601"), "give 'BGR' or 'RGB'"),
        (("INPUT.LONGEST_EDGE_TRAIN", (0,)), r"\(INPUT.LONGEST_EDGE_TRAIN\) is \(0,\): give one"),
    ],
)
def test_wrong_augmentations_get_one_line(tiny_cfg, overrides, expected):
    (line,) = problems(tiny_cfg, *MOSAIC, *overrides)
    assert re.search(expected, line), line


def test_right_augmentations_are_right_and_others_are_left_alone(tiny_cfg):
    right = ("INPUT.HSV", (0.015, 0.7, 0.4), "INPUT.LONGEST_EDGE_TRAIN", (480, 800))
    assert problems(tiny_cfg, *MOSAIC, *right) == []
    wrong = ("INPUT.MOSAIC.SIZE", 0, "INPUT.MOSAIC.SCALE", (-1.0, 1.0))
    assert problems(tiny_cfg, *wrong) == []  # it is not enabled
    assert problems(tiny_cfg, *MOSAIC, *wrong, training=False) == []


@pytest.mark.parametrize("architecture", ["SemanticSegmentor", "ImageClassifier", "PanopticFPN"])
def test_augmentations_are_those_of_detection(tiny_cfg, architecture):
    tiny_cfg.MODEL.META_ARCHITECTURE = architecture
    tiny_cfg.MODEL.EQL.LOSS = "SoftmaxEQL"
    (line,) = problems(tiny_cfg, *MOSAIC)
    assert line.startswith(f"INPUT.MOSAIC.ENABLED is True, but {architecture} is trained on")
    lines = problems(tiny_cfg, "INPUT.HSV", (0.1,) * 3, "INPUT.LONGEST_EDGE_TRAIN", (480,))
    assert len(lines) == (0 if architecture == "PanopticFPN" else 2)
    assert all(f"{architecture} does not read it, leave it out" in line for line in lines)


@pytest.mark.parametrize("architecture", ["SemanticSegmentor", "ImageClassifier", "PanopticFPN"])
def test_fracal_is_for_box_heads_alone(tiny_cfg, architecture):
    overrides = ("MODEL.EQL.LOSS", "SoftmaxCE", "MODEL.EQL.CALIBRATION.NAME", "FRACAL")
    assert problems(tiny_cfg, *overrides, training=False) == []
    tiny_cfg.MODEL.META_ARCHITECTURE = architecture
    (line,) = problems(tiny_cfg, *overrides, training=False)
    assert re.search(f"FRACAL, which goes by where boxes lie .* {architecture}: set it to", line)


def test_all_problems_are_said_at_once(tiny_cfg):
    overrides = ("SOLVER.MAX_ITER", 0, "SOLVER.BASE_LR", -1.0, "OUTPUT_DIR", "/dev/null")
    lines = problems(tiny_cfg, *overrides, "MODEL.EQL.LOSS", "Focal", "DATASETS.TEST", ("x",))
    assert [line.split()[0] for line in lines] == [
        *("SOLVER.MAX_ITER", "SOLVER.BASE_LR", "OUTPUT_DIR", "DATASETS.TEST", "MODEL.EQL.LOSS")
    ]


def test_what_is_not_read_is_left_alone(tiny_cfg):
    overrides = ("SOLVER.MAX_ITER", 0, "DATASETS.TRAIN", (), "SOLVER.STEPS", (5, 3))
    overrides += ("MODEL.EMA.DECAY", 2.0)
    assert len(problems(tiny_cfg, *overrides)) == 4
    assert problems(tiny_cfg, *overrides, training=False) == []
    assert problems(tiny_cfg, "DATASETS.TEST", (), training=False)
    overrides = ("MODEL.ROI_HEADS.NUM_CLASSES", 0, "MODEL.RPN.NMS_THRESH", 7.0)
    assert len(problems(tiny_cfg, *overrides)) == 2
    assert problems(as_retinanet(tiny_cfg), *overrides) == []
    assert problems(tiny_cfg, "SOLVER.CLIP_GRADIENTS.CLIP_VALUE", -1.0) == []


def test_processes_share_the_batch_equally(tiny_cfg, monkeypatch):
    monkeypatch.setattr(comm, "get_world_size", lambda: 3)
    (line,) = problems(tiny_cfg, "SOLVER.IMS_PER_BATCH", 16)
    assert line == (
        "SOLVER.IMS_PER_BATCH is 16, which 3 processes cannot share equally: give a multiple, for "
        "example 18"
    )
    # Detectron2 scales the batch with the processes.
    assert problems(tiny_cfg, "SOLVER.REFERENCE_WORLD_SIZE", 2) == []


def test_micro_batches_are_alike(tiny_cfg, monkeypatch):
    monkeypatch.setattr(comm, "get_world_size", lambda: 2)
    (line,) = problems(tiny_cfg, "SOLVER.IMS_PER_BATCH", 16, "SOLVER.MICRO_BATCHES", 3)
    assert line == (
        "SOLVER.MICRO_BATCHES is 3, but a process has 8 images a step: give a number that divides 8"
    )
    assert problems(tiny_cfg, "SOLVER.IMS_PER_BATCH", 16, "SOLVER.MICRO_BATCHES", 4) == []
    (line,) = problems(tiny_cfg, "SOLVER.MICRO_BATCHES", 0)
    assert "SOLVER.MICRO_BATCHES is 0: give a whole number, 1 or more" in line


def test_output_folders_that_cannot_be_there(tiny_cfg, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    (line,) = problems(tiny_cfg, "OUTPUT_DIR", str(tmp_path / "file/new/folder"))
    assert "file' is a file" in line
    assert problems(tiny_cfg, "OUTPUT_DIR", str(tmp_path / "new/folder")) == []
    assert not (tmp_path / "new").exists()
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anywhere
    (line,) = problems(tiny_cfg, "OUTPUT_DIR", str(tmp_path / "new/folder"))
    assert "cannot be written to" in line


def test_builtin_data_that_are_not_there_name_their_path_and_the_variable(tiny_cfg):
    (line,) = problems(tiny_cfg, "DATASETS.TRAIN", ("lvis_v1_train",))
    assert "lvis_v1_train.json' does not exist" in line and "DETECTRON2_DATASETS" in line
    # An evaluation does without the training data.
    assert problems(tiny_cfg, "DATASETS.TRAIN", ("lvis_v1_train",), training=False) == []


def test_data_of_lvis_that_detectron2_cannot_read_name_the_package(tiny_cfg, monkeypatch):
    monkeypatch.setattr(PathManager, "exists", lambda path: True)
    assert problems(tiny_cfg, "DATASETS.TRAIN", ("lvis_v1_train",)) == []
    monkeypatch.setitem(sys.modules, "lvis", None)
    (line,) = problems(tiny_cfg, "DATASETS.TRAIN", ("lvis_v1_train",))
    assert "pip install --no-deps lvis" in line and "\n" not in line
    assert problems(tiny_cfg, "DATASETS.TRAIN", ("coco_2017_train",)) == []


def test_endless_values_are_not_walked(tiny_cfg):
    value = [1.0]
    for _ in range(60):
        value = [value, value]
    assert problems(tiny_cfg, "MODEL.RPN.CONV_DIMS", value) == []
    (line,) = problems(tiny_cfg, "MODEL.RPN.IOU_THRESHOLDS", value)
    assert len(line) < 200


def test_what_a_model_refuses_is_one_line(registered_cfg):
    registered_cfg.MODEL.RESNETS.DEPTH = 51
    with pytest.raises(InputError, match=r"the model cannot be built \(KeyError: 51, in build_res"):
        Trainer.build_model(registered_cfg)


def test_a_defect_of_ours_keeps_its_traceback():
    with pytest.raises(AttributeError), building("the model", "MODEL"):
        check_yaml(None, True)


def test_processes_that_cannot_be_started_get_one_line(monkeypatch):
    def started(*words):
        with pytest.raises(SystemExit) as error:
            launch(lambda args: None, get_parser().parse_args(words))
        return error.value.code

    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert "--machine-rank is 2 and --num-machines 1: ranks" in started("--machine-rank", "2")
    line = started("--num-machines", "2", "--dist-url", "auto")
    assert line.startswith("train_net.py: error: --dist-url is auto") and "\n" not in line


def test_a_mistyped_config_is_refused_before_other_processes_are_started(monkeypatch, tmp_path):
    """Eight processes imported PyTorch before one of them said so."""
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    module = sys.modules[launch.__module__]
    monkeypatch.setattr(module, "d2_launch", lambda *_, **__: pytest.fail("started"))
    (tmp_path / "config.yaml").write_text("SOLVER: {MAX_ITR: 3}")
    for config in ("config.yaml", "none.yaml"):
        words = ["train_net.py", "--num-gpus", "8", "--config-file", str(tmp_path / config)]
        monkeypatch.setattr("sys.argv", words)
        with pytest.raises(SystemExit, match=r"^train_net.py: error: config '.*none|did you mean"):
            train()

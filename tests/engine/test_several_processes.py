"""One process against three that share its batches: the same statistics and the same weights.

In float64, since steps of training multiply what float32 rounds.
"""

import pytest
import torch

from tests.conftest import as_retinanet
from tests.data.class_images import make_class_folders
from tests.data.label_map_folders import as_semantic_fpn, make_mask_folder
from tests.engine.interrupted import run, steps
from tests.engine.test_exact_resume_processes import json_data

NUM_STEPS, BATCH_SIZE = 5, 6


def two_stage(cfg, data, tmp_path):
    """As many proposals in each image, all of them used, since a sample is random."""
    cfg.MODEL.MASK_ON = False
    cfg.MODEL.RPN.BATCH_SIZE_PER_IMAGE = 4096
    cfg.MODEL.RPN.NMS_THRESH = 1.0
    cfg.MODEL.ROI_HEADS.PROPOSAL_APPEND_GT = False
    cfg.MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE = 512
    cfg.MODEL.ROI_HEADS.IOU_THRESHOLDS = [0.2]
    return json_data(data)


def one_stage(cfg, data, tmp_path):
    as_retinanet(cfg)
    return json_data(data)


def classification(cfg, data, tmp_path):
    cfg.MODEL.META_ARCHITECTURE = "ImageClassifier"
    cfg.MODEL.BACKBONE.NAME = "build_resnet_backbone"
    cfg.MODEL.RESNETS.OUT_FEATURES = [cfg.MODEL.CLASSIFIER.IN_FEATURE]
    cfg.MODEL.CLASSIFIER.NUM_CLASSES = 4
    cfg.MODEL.EQL.LOSS = "SoftmaxEQL"
    train = make_class_folders(tmp_path / "few_train", [9, 4, 2, 1])
    val = make_class_folders(tmp_path / "few_val", [2] * 4)
    return ["--class-folder", "a_train", train, "--class-folder", "a_val", val]


def segmentation(cfg, data, tmp_path):
    as_semantic_fpn(cfg)
    return [
        word
        for split in ("train", "val")
        for word in (
            *("--mask-folder", f"a_{split}"),
            *make_mask_folder(tmp_path / f"scenes_{split}", 8),
        )
    ]


@pytest.mark.slow
@pytest.mark.usefixtures("no_datasets_left")
@pytest.mark.parametrize("task", [two_stage, one_stage, classification, segmentation])
def test_three_processes_are_one(task, tiny_cfg, data, tmp_path):
    options = task(tiny_cfg, data, tmp_path)
    tiny_cfg.DATASETS.JSON, tiny_cfg.DATASETS.TRAIN, tiny_cfg.DATASETS.TEST = (), ("a_train",), ()
    tiny_cfg.MODEL.EQL.LOG_PERIOD = 0
    tiny_cfg.MODEL.RESNETS.NORM = "LN"  # BN goes by the images of its own process
    tiny_cfg.DATALOADER.ASPECT_RATIO_GROUPING = False
    tiny_cfg.SOLVER.IMS_PER_BATCH, tiny_cfg.SOLVER.MAX_ITER = BATCH_SIZE, NUM_STEPS
    tiny_cfg.SOLVER.BASE_LR = 0.001
    config = tmp_path / "config.yaml"
    config.write_text(tiny_cfg.dump())
    states = {}
    for processes in (1, 3):
        output = str(tmp_path / f"of{processes}")
        command = ["--config-file", str(config), *options, "OUTPUT_DIR", output]
        run(command, f"{output}.notes", processes=processes, double=True)
        states[processes] = torch.load(f"{output}/model_final.pth", weights_only=True)["model"]
    assert pixels(tmp_path / "of1.notes", 1) == pixels(tmp_path / "of3.notes", 3)

    (pos_1, neg_1), (pos_3, neg_3) = (gradients(states[processes]) for processes in (1, 3))
    # Each process divides by the mean of all, so that those of the focal losses are thrice as large
    times = 3 if task is one_stage else 1
    torch.testing.assert_close(pos_3, times * pos_1, rtol=1e-6, atol=0)
    torch.testing.assert_close(neg_3, times * neg_1, rtol=1e-6, atol=0)
    assert (pos_1 > 0).any() and (neg_1 > 0).all()
    for name, weight in states[1].items():
        if ".statistics." not in name:
            torch.testing.assert_close(states[3][name], weight, rtol=0, atol=1e-7, msg=name)


def pixels(record, processes):
    """Check sums of the images of each step, of all processes."""
    noted = [steps(record, rank) for rank in range(processes)]
    return [sorted(sum((rank[i]["pixels"] for rank in noted), [])) for i in range(NUM_STEPS)]


def gradients(state):
    return [
        next(value for name, value in state.items() if name.endswith(f"statistics.{key}"))
        for key in ("pos_grad", "neg_grad")
    ]

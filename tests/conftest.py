"""A data set and a detector small enough to train whole, with the real trainer, on a CPU."""

import json

import numpy as np
import pytest
from detectron2.config import get_cfg
from detectron2.data import DatasetCatalog, MetadataCatalog
from PIL import Image

from eql_d2 import add_eql_config

NUM_CLASSES = 5


def make_annotations(folder, num_images=8, seed=0, federated=True):
    """Bright rectangles on noise, class = hue; class k in about 1 / (k + 1) of the images."""
    rng = np.random.default_rng(seed)
    images, annotations = [], []
    for image_id in range(1, num_images + 1):
        pixels = rng.integers(0, 60, (64, 80, 3), dtype=np.uint8)
        for k in range(NUM_CLASSES):
            if image_id % (k + 1):
                continue
            x, y = int(rng.integers(0, 50)), int(rng.integers(0, 40))
            width, height = int(rng.integers(12, 30)), int(rng.integers(12, 24))
            pixels[y : y + height, x : x + width] = np.eye(3)[k % 3] * 200 + 10 * k
            corners = [x, y, x + width, y, x + width, y + height, x, y + height]
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": 10 * (k + 1),
                    "bbox": [x, y, width, height],
                    "area": width * height,
                    "segmentation": [corners],
                }
            )
        Image.fromarray(pixels).save(folder / f"{image_id}.png")
        images.append({"id": image_id, "file_name": f"{image_id}.png", "width": 80, "height": 64})
        if federated:
            images[-1].update(neg_category_ids=[50], not_exhaustive_category_ids=[])
    categories = [{"id": 10 * (k + 1), "name": f"class{k}"} for k in range(NUM_CLASSES)]
    return {"images": images, "annotations": annotations, "categories": categories}


@pytest.fixture
def data(tmp_path):
    """Folder with ``train.json`` and ``val.json`` (LVIS format, category ids 10..50) and images."""
    for split, seed in (("train", 0), ("val", 1)):
        (tmp_path / split).mkdir()
        annotations = make_annotations(tmp_path / split, seed=seed)
        (tmp_path / f"{split}.json").write_text(json.dumps(annotations))
    return tmp_path


@pytest.fixture
def no_datasets_left():
    """Remove the data sets that a test registers."""
    before = set(DatasetCatalog.list())
    yield
    for name in set(DatasetCatalog.list()) - before:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


TINY = """
MODEL.BACKBONE.NAME build_resnet_fpn_backbone
MODEL.BACKBONE.FREEZE_AT 0
MODEL.RESNETS.NORM BN
MODEL.RESNETS.WIDTH_PER_GROUP 8
MODEL.RESNETS.STEM_OUT_CHANNELS 8
MODEL.RESNETS.RES2_OUT_CHANNELS 16
MODEL.RESNETS.OUT_FEATURES ['res2','res3','res4','res5']
MODEL.FPN.IN_FEATURES ['res2','res3','res4','res5']
MODEL.FPN.OUT_CHANNELS 16
MODEL.ANCHOR_GENERATOR.SIZES [[8],[16],[24],[32],[64]]
MODEL.RPN.IN_FEATURES ['p2','p3','p4','p5','p6']
MODEL.RPN.PRE_NMS_TOPK_TRAIN 100
MODEL.RPN.POST_NMS_TOPK_TRAIN 40
MODEL.RPN.PRE_NMS_TOPK_TEST 40
MODEL.RPN.POST_NMS_TOPK_TEST 20
MODEL.ROI_HEADS.NAME EQLROIHeads
MODEL.ROI_HEADS.IN_FEATURES ['p2','p3','p4','p5']
MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE 32
MODEL.ROI_HEADS.NUM_CLASSES 5
MODEL.ROI_HEADS.SCORE_THRESH_TEST 0.0001
MODEL.ROI_BOX_HEAD.NAME FastRCNNConvFCHead
MODEL.ROI_BOX_HEAD.NUM_FC 1
MODEL.ROI_BOX_HEAD.FC_DIM 32
MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION 5
MODEL.ROI_MASK_HEAD.NAME MaskRCNNConvUpsampleHead
MODEL.ROI_MASK_HEAD.NUM_CONV 1
MODEL.ROI_MASK_HEAD.CONV_DIM 8
MODEL.ROI_MASK_HEAD.POOLER_RESOLUTION 7
MODEL.MASK_ON True
MODEL.DEVICE cpu
MODEL.WEIGHTS ''
MODEL.EQL.LOG_PERIOD 2
INPUT.MIN_SIZE_TRAIN (64,)
INPUT.MIN_SIZE_TEST 64
SOLVER.IMS_PER_BATCH 2
SOLVER.BASE_LR 0.01
SOLVER.MAX_ITER 4
SOLVER.STEPS ()
SOLVER.WARMUP_ITERS 0
DATALOADER.NUM_WORKERS 0
SEED 7
VERSION 2
"""


@pytest.fixture
def tiny_cfg(data, tmp_path):
    """Yaml config of a tiny Mask R-CNN with EQLv2 on ``data``, not registered yet."""
    cfg = get_cfg()
    add_eql_config(cfg)
    cfg.merge_from_list([word for line in TINY.split("\n") for word in line.split()])
    cfg.DATASETS.JSON = tuple(
        (f"tiny_{split}", str(data / f"{split}.json"), str(data / split))
        for split in ("train", "val")
    )
    cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = ("tiny_train",), ("tiny_val",)
    cfg.OUTPUT_DIR = str(tmp_path / "output")
    return cfg


@pytest.fixture
def registered_cfg(tiny_cfg, no_datasets_left):
    """The tiny config with its data sets registered."""
    from eql_d2.data import register_json_instances

    for name, json_file, images in tiny_cfg.DATASETS.JSON:
        register_json_instances(name, json_file, images)
    return tiny_cfg


def as_retinanet(cfg):
    """Turn the tiny Mask R-CNN into a tiny RetinaNet with EFL: P3 to P7, 3 anchors a position."""
    cfg.MODEL.META_ARCHITECTURE = "EQLRetinaNet"
    cfg.MODEL.BACKBONE.NAME = "build_retinanet_resnet_fpn_backbone"
    cfg.MODEL.RESNETS.OUT_FEATURES = cfg.MODEL.FPN.IN_FEATURES = ["res3", "res4", "res5"]
    cfg.MODEL.RETINANET.NUM_CLASSES = NUM_CLASSES
    cfg.MODEL.RETINANET.NUM_CONVS = 1
    cfg.MODEL.MASK_ON = False
    cfg.MODEL.EQL.LOSS = "EFL"
    return cfg

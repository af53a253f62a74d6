"""Panoptic data have two lists of classes: each head counts and logs those of its own."""

import logging

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from PIL import Image

from eql_d2 import InputError
from eql_d2.data import get_class_count, register_json_instances
from eql_d2.engine import Trainer
from eql_d2.gradient_record import read_record
from tests.conftest import NUM_CLASSES

# As many kinds of stuff as of things: a mix-up has no other number to be seen by.
STUFF = [f"stuff {i}" for i in range(NUM_CLASSES)]


@pytest.fixture
def panoptic_cfg(tiny_cfg, tmp_path, no_datasets_left):
    name, json_file, images = tiny_cfg.DATASETS.JSON[0]
    register_json_instances("things", json_file, images)
    records = DatasetCatalog.get("things")
    for i, record in enumerate(records):
        labels = np.full((record["height"], record["width"]), 255, np.uint8)
        labels.flat[:NUM_CLASSES] = range(NUM_CLASSES)
        labels[2:] = i % 2  # the first two fill the images
        record["sem_seg_file_name"] = str(tmp_path / f"{i}.png")
        Image.fromarray(labels).save(record["sem_seg_file_name"])
    DatasetCatalog.register("rooms", lambda: records)
    things = MetadataCatalog.get("things").thing_classes
    MetadataCatalog.get("rooms").set(
        thing_classes=things, stuff_classes=STUFF, ignore_label=255, evaluator_type="coco_panoptic"
    )
    tiny_cfg.merge_from_list(["DATASETS.JSON", (), "DATASETS.TRAIN", ("rooms",)])
    tiny_cfg.merge_from_list(["DATASETS.TEST", (), "SOLVER.MAX_ITER", 1])
    tiny_cfg.MODEL.META_ARCHITECTURE = "PanopticFPN"
    tiny_cfg.MODEL.SEM_SEG_HEAD.NAME = "EQLSemSegFPNHead"
    tiny_cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = NUM_CLASSES
    tiny_cfg.MODEL.SEM_SEG_HEAD.CONVS_DIM = 8
    tiny_cfg.MODEL.SEM_SEG_HEAD.NORM = ""
    return tiny_cfg


def pixels_of(name):
    maps = [np.array(Image.open(r["sem_seg_file_name"])) for r in DatasetCatalog.get(name)]
    return np.bincount(np.concatenate([m.ravel() for m in maps]), minlength=256)[:NUM_CLASSES]


def test_each_head_counts_the_classes_of_its_own(panoptic_cfg):
    panoptic_cfg.MODEL.EQL.LOSS = "BalancedSoftmax"
    trainer = Trainer(panoptic_cfg)
    trainer.train()
    of_stuff = trainer.model.sem_seg_head.loss_cls.class_count
    of_things = trainer.model.roi_heads.box_predictor.loss_cls.class_count
    assert of_stuff.tolist() == pixels_of("rooms").tolist()
    assert torch.equal(of_things, get_class_count("things")) and of_things.sum() < of_stuff.sum()


def test_frequencies_of_stuff_are_shares_of_the_label_maps(panoptic_cfg):
    panoptic_cfg.MODEL.EQL.LOSS = "EQL"
    trainer = Trainer(panoptic_cfg)
    assert trainer.model.sem_seg_head.loss_cls.image_frequency.tolist() == [1.0] * NUM_CLASSES
    assert trainer.model.roi_heads.box_predictor.loss_cls.image_frequency.min() < 1


def test_the_ratio_of_stuff_is_not_logged_under_the_names_of_things(panoptic_cfg, caplog):
    with caplog.at_level(logging.WARNING):
        trainer = Trainer(panoptic_cfg)
        trainer.train()
    assert "sem_seg_head.loss_cls has other classes than roi_heads" in caplog.text
    assert list(read_record(panoptic_cfg.OUTPUT_DIR).losses) == ["roi_heads.box_predictor.loss_cls"]


def test_data_without_label_maps_are_named_before_training(panoptic_cfg):
    panoptic_cfg.MODEL.EQL.LOSS = "BalancedSoftmax"
    for record in DatasetCatalog.get("rooms"):
        del record["sem_seg_file_name"]
    with pytest.raises(InputError, match="data set 'rooms' has no label maps.* DATASETS.TRAIN"):
        Trainer(panoptic_cfg)

"""What an evaluation needs is looked for before the training that would end with it."""

import json

import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog, build_detection_test_loader
from detectron2.engine import DefaultTrainer
from omegaconf import OmegaConf

from eql_d2 import InputError
from eql_d2.data import register_json_instances
from eql_d2.engine import Trainer
from eql_d2.engine.evaluation_checks import check_evaluation
from eql_d2.engine.lazy import _check_test_data, evaluate_lazy, train_lazy
from eql_d2.model_zoo import get_config

LAZY = "quick_schedules/mask_rcnn_lite0_FPN_instant_eqlv2.py"
pytestmark = pytest.mark.usefixtures("no_datasets_left")


def as_others_register(name, own, **metadata):
    """The records of own data by another name, as a user's own code registers them."""
    records = DatasetCatalog.get(own)
    DatasetCatalog.register(name, lambda: records)
    own_metadata = MetadataCatalog.get(own)
    known = {"thing_classes": own_metadata.thing_classes, "evaluator_type": "lvis"}
    known |= {"json_file": own_metadata.json_file, **metadata}
    MetadataCatalog.get(name).set(**{k: v for k, v in known.items() if v is not None})


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"evaluator_type": None}, "evaluator_type of data set 'other' is None: there are eval"),
        ({"evaluator_type": "coco_panoptic_seg"}, "is 'coco_panoptic_seg': there are evaluators"),
        ({"json_file": None}, "data set 'other' has no json_file: is it registered"),
        ({"json_file": "nowhere.json"}, "cannot read nowhere.json: No such file"),
    ],
)
def test_a_test_set_without_an_evaluator_is_refused_before_training(
    registered_cfg, metadata, expected, monkeypatch
):
    """It was found after the training, whose evaluation then failed."""
    monkeypatch.setattr(DefaultTrainer, "train", lambda self: pytest.fail("trains"))
    as_others_register("other", "tiny_val", **metadata)
    registered_cfg.DATASETS.TEST = ("tiny_val", "other")
    with pytest.raises(InputError, match=expected):
        Trainer(registered_cfg)


@pytest.mark.parametrize("is_missing", [True, False])
def test_images_of_test_data_that_others_registered_are_looked_for(registered_cfg, is_missing):
    """LVIS's validation data need both folders of COCO; one that was missing ended the run after
    the whole training."""
    as_others_register("other", "tiny_val")
    registered_cfg.DATASETS.TEST = ("other",)
    path = DatasetCatalog.get("other")[3]["file_name"]
    with open(path, "r+b") as file:
        file.truncate(200)
    expected = f"image '{path}' is damaged|'{path}' cannot be"
    if is_missing:
        DatasetCatalog.get("other")[3]["file_name"] = path.replace("/4.png", "/4.PNG")
        expected = "'other': 1 of 8 images are missing, the first is .* capitals and small letters"
    with pytest.raises(InputError, match=expected):
        Trainer.check_test_data(registered_cfg)
    # Someone's own way to find images is his.
    own_way = build_detection_test_loader(DatasetCatalog.get("other"), mapper=lambda record: record)
    check_evaluation(["other"], lambda: own_way, lambda: None)


def test_images_of_training_data_that_others_registered_are_looked_for(registered_cfg):
    as_others_register("other", "tiny_train")
    registered_cfg.DATASETS.TRAIN = ("other",)
    DatasetCatalog.get("other")[3]["file_name"] = "elsewhere/4.png"
    with pytest.raises(InputError, match="^training data: 1 of 8 images .* 'elsewhere/4.png'"):
        Trainer.build_train_loader(registered_cfg)


def test_a_lazyconfig_has_the_same_checks(registered_cfg, tmp_path):
    cfg = get_config(LAZY)
    cfg.train.output_dir, cfg.train.device = str(tmp_path / "output"), "cpu"
    cfg.dataloader.train.dataset.names = "tiny_train"
    cfg.dataloader.test.dataset.names = "tiny_val"
    cfg.model.roi_heads.num_classes = 5
    cfg.dataloader.evaluator.dataset_name = "tiny_val"
    _check_test_data(cfg)
    as_others_register("other", "tiny_val", evaluator_type=None)
    for door in (lambda: train_lazy(cfg, False), lambda: evaluate_lazy(cfg)):
        cfg.dataloader.test.dataset.names = cfg.dataloader.evaluator.dataset_name = "other"
        with pytest.raises(InputError, match="evaluator_type of data set 'other' is None"):
            door()
    cfg.dataloader.evaluator = OmegaConf.create({"_target_": "builtins.int", "x": 1})
    with pytest.raises(InputError, match="^the evaluator of 'other' cannot be built"):
        _check_test_data(cfg)


def test_a_trainer_without_an_evaluator_may_train(registered_cfg):
    """Detectron2 skips the evaluation of one that has none."""

    class Own(Trainer):
        @classmethod
        def build_evaluator(cls, cfg, dataset_name, output_folder=None):
            raise NotImplementedError

    Own.check_test_data(registered_cfg)


@pytest.mark.parametrize("is_there", [False, True])
def test_predictions_are_written_for_a_file_of_images_and_categories(
    registered_cfg, data, tmp_path, is_there, caplog
):
    """It was refused as of another format; with an empty list AP was nan without a word."""
    content = json.loads((data / "val.json").read_text())
    for image in content["images"]:
        del image["neg_category_ids"], image["not_exhaustive_category_ids"]
    del content["annotations"]
    if is_there:
        content["annotations"] = []
    path = tmp_path / "images.json"
    path.write_text(json.dumps(content))
    register_json_instances("images", str(path), str(data / "val"))
    assert "of test data the predictions are written and nothing is evaluated" in caplog.text
    registered_cfg.DATASETS.TEST = ("images",)
    registered_cfg.MODEL.ROI_HEADS.SCORE_THRESH_TEST = 0.0
    torch.manual_seed(0)
    Trainer.check_test_data(registered_cfg)
    assert Trainer.test(registered_cfg, Trainer.build_model(registered_cfg)) == {}
    written = tmp_path / "output/inference/images/coco_instances_results.json"
    found = json.loads(written.read_text())
    assert {"image_id", "category_id", "bbox", "score", "segmentation"} <= found[0].keys()
    assert {entry["category_id"] for entry in found} <= {10, 20, 30, 40, 50}
    registered_cfg.DATASETS.TRAIN = ("images",)
    with pytest.raises(InputError, match="'images' have no annotations: a file of images and cat"):
        Trainer.build_model(registered_cfg)

"""The calibration of a config in the evaluations of the trainers."""

import json
from pathlib import Path

import pytest
import torch
from detectron2.modeling import build_model
from omegaconf import OmegaConf
from torch import nn

from eql_d2 import InputError, NorCal, SoftmaxCE, calibrate
from eql_d2.checkpoint import EQLCheckpointer
from eql_d2.data import (
    get_fractal_dimension,
    get_image_frequency,
    register_json_instances,
)
from eql_d2.engine import Trainer, lazy
from tests.conftest import NUM_CLASSES
from tests.engine.test_trainer import save_plain_detectron2, trained

COUNT = [8.0, 4, 2, 2, 1]  # instances of the classes in the tiny training data


@pytest.fixture
def weights(registered_cfg, tmp_path):
    """A checkpoint of Detectron2's own heads whose scores are neither 0 nor 1."""
    _, path = save_plain_detectron2(registered_cfg, tmp_path)
    checkpoint = torch.load(path)
    checkpoint["model"]["roi_heads.box_predictor.cls_score.weight"] *= 0.01
    torch.save(checkpoint, path)
    return path


def with_calibration(cfg, gamma, folder):
    """NorCal on a softmax, or nothing for a gamma of None."""
    cfg = cfg.clone()
    cfg.MODEL.EQL.LOSS = "SoftmaxCE"
    if gamma is not None:
        cfg.MODEL.EQL.CALIBRATION.update(NAME="NorCal", GAMMA=gamma)
    cfg.OUTPUT_DIR = f"{cfg.OUTPUT_DIR}/{folder}"
    return cfg


def evaluate(cfg, weights):
    """As train_net.py does for --eval-only."""
    model = Trainer.build_model(cfg)
    EQLCheckpointer(model, cfg.OUTPUT_DIR).resume_or_load(weights)
    return Trainer.test(cfg, model)


def detections(cfg):
    """Written by an evaluation: the highest score of each class."""
    (path,) = Path(cfg.OUTPUT_DIR).rglob("*bbox_results.json")
    highest = dict.fromkeys(range(10, 10 * NUM_CLASSES + 1, 10), 0.0)
    for box in json.loads(path.read_text()):
        highest[box["category_id"]] = max(highest[box["category_id"]], box["score"])
    return torch.tensor(list(highest.values()))


def test_a_plain_checkpoint_is_evaluated_with_it_and_no_key_is_missed(
    registered_cfg, weights, warnings
):
    highest = []
    for gamma in (None, 0.0, 2.0):
        cfg = with_calibration(registered_cfg, gamma, f"gamma {gamma}")
        assert "AP" in evaluate(cfg, weights)["bbox"]
        highest.append(detections(cfg))
    without, zero, calibrated = highest
    assert torch.equal(zero, without) and without.min() > 0
    relative = calibrated / without  # to 1 / 64, 16, 4, 4, 1, and the background gains
    assert relative[0] < relative[1] < relative[2:4].min() and relative[4] == relative.max()
    assert not [line for line in warnings if "checkpoint" in line or "key" in line.lower()]


def test_a_plain_checkpoint_is_evaluated_with_fracal(registered_cfg, weights):
    """By images and places of the training data, which the evaluation gets by itself."""
    cfg = with_calibration(registered_cfg, None, "fracal")
    evaluate(cfg, weights)
    without = detections(cfg)
    cfg.MODEL.EQL.CALIBRATION.NAME = "FRACAL"
    cfg.MODEL.EQL.CALIBRATION.BETA, cfg.OUTPUT_DIR = 2.0, f"{cfg.OUTPUT_DIR} 2"
    model = Trainer.build_model(cfg)
    EQLCheckpointer(model, cfg.OUTPUT_DIR).resume_or_load(weights)
    assert "AP" in Trainer.test(cfg, model)["bbox"]
    calibration = model.roi_heads.box_predictor.loss_cls.calibration
    names = cfg.DATASETS.TRAIN
    for name, expected in (
        ("image_frequency", get_image_frequency(names)),
        ("fractal_dimension", get_fractal_dimension(names)),
    ):
        torch.testing.assert_close(getattr(calibration, name), expected.float())
    relative = detections(cfg) / without
    assert relative.argmax() == 4 and relative.argmin() == 0


def test_evaluations_of_a_training_have_it_and_the_checkpoint_has_not(registered_cfg, weights):
    registered_cfg.MODEL.WEIGHTS = weights
    registered_cfg.SOLVER.MAX_ITER, registered_cfg.SOLVER.BASE_LR = 2, 1e-6
    cfg = with_calibration(registered_cfg, 1.0, "training")
    trainer = trained(cfg)
    calibration = trainer.model.roi_heads.box_predictor.loss_cls.calibration
    assert calibration.class_count.tolist() == COUNT
    final = f"{cfg.OUTPUT_DIR}/model_final.pth"
    assert not [key for key in torch.load(final)["model"] if "calibration" in key]
    highest = {}
    for gamma in (None, 1.0):
        again = with_calibration(registered_cfg, gamma, f"gamma {gamma}")
        evaluate(again, final)
        highest[gamma] = detections(again)
    assert torch.equal(detections(cfg), highest[1.0])
    assert not torch.equal(detections(cfg), highest[None])


def test_a_class_without_training_samples_is_refused_before_the_first_step(registered_cfg, data):
    annotations = json.loads((data / "train.json").read_text())
    boxes = annotations["annotations"]
    annotations["annotations"] = [box for box in boxes if box["category_id"] != 30]
    (data / "few.json").write_text(json.dumps(annotations))
    register_json_instances("few_train", str(data / "few.json"), str(data / "train"))
    registered_cfg.DATASETS.TRAIN = ("few_train",)
    cfg = with_calibration(registered_cfg, 0.5, "few")
    message = "^class_count of NorCal is 0 for class 2 .*take such classes out of the data or set"
    for start in (lambda: Trainer(cfg), lambda: Trainer.test(cfg, build_model(cfg))):
        with pytest.raises(InputError, match=message):
            start()


class Scores(nn.Module):
    """A model that is nothing but a loss."""

    def __init__(self, loss_cls):
        super().__init__()
        self.loss_cls = loss_cls

    def forward(self, logits):
        return self.loss_cls.scores(self.loss_cls.calibration(logits))


def test_an_evaluation_of_a_lazy_config_has_it():
    count = torch.tensor(COUNT)
    model = Scores(calibrate(SoftmaxCE(NUM_CLASSES), NorCal(NUM_CLASSES, lambda: count)))
    lazy.test_lazy(OmegaConf.create({"dataloader": {"test": [], "evaluator": None}}), model)
    logits = torch.randn(3, NUM_CLASSES + 1)
    assert not torch.equal(model(logits), model.loss_cls.scores(logits))

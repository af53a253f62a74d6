"""docs/extending.md says how to add a loss, a task and a data set: here it is done."""

import json

import pytest
import torch
import torch.nn.functional as F
from detectron2.config import CfgNode, configurable
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.modeling import META_ARCH_REGISTRY
from torch import nn

from eql_d2 import ClassificationLoss, InputError, tasks
from eql_d2.data import category_table, register_class_folder
from eql_d2.engine import Trainer
from eql_d2.losses import EQL_LOSS_REGISTRY, GradientStatistics, build_loss
from eql_d2.losses.functional import softmax_cross_entropy
from eql_d2.modeling import ImageClassifier
from tests.data.class_images import make_class_folders

pytestmark = pytest.mark.usefixtures("no_datasets_left")


class ToyLoss(ClassificationLoss):
    """Cross entropy over a temperature."""

    @configurable
    def __init__(self, num_classes, temperature=2.0, decay=1.0):
        super().__init__(num_classes, num_logits=num_classes + 1)
        self.temperature = temperature
        self.statistics = GradientStatistics(num_classes, decay=decay)

    def forward(self, logits, targets, *, normalizer=None):
        self._check_shapes(logits, targets)
        margin = logits.new_zeros(logits.shape[1])
        sums = softmax_cross_entropy(
            logits / self.temperature, targets, margin, self._normalizer(normalizer, targets)
        )
        self._accumulate(sums.pos_grad, sums.neg_grad)
        return sums.loss

    def scores(self, logits):
        return F.softmax(logits.float() / self.temperature, dim=1)[:, : self.num_classes]


@pytest.fixture
def toy_loss():
    EQL_LOSS_REGISTRY.register(ToyLoss)
    yield
    EQL_LOSS_REGISTRY._obj_map.pop("ToyLoss")


def with_toy_node(cfg):
    cfg.MODEL.EQL.TOYLOSS = CfgNode({"TEMPERATURE": 3.0, "DECAY": 0.9})
    cfg.MODEL.EQL.LOSS = "ToyLoss"
    return cfg


def test_a_loss_is_a_class_and_a_node(toy_loss, registered_cfg):
    """With its statistics it is trained, logged, evaluated and checked as all others."""
    cfg = with_toy_node(registered_cfg)
    loss = build_loss(cfg, 5)
    assert (loss.temperature, loss.statistics.decay) == (3.0, 0.9)
    trainer = Trainer(cfg)
    trainer.train()
    assert trainer.model.roi_heads.box_predictor.loss_cls.statistics.neg_grad.min() > 0
    lines = open(f"{cfg.OUTPUT_DIR}/metrics.json").read()
    assert "gradient_ratio/rare" in lines and "bbox/APr" in lines


class ToyMapper:
    """The mean colour of an image."""

    def __init__(self, cfg, is_train):
        self.size = cfg.INPUT.CLASSIFICATION.CROP_SIZE

    def __call__(self, record):
        image = torch.full((3, self.size, self.size), float(record["image_id"]))
        return {
            "image": image,
            "label": record["annotations"][0]["category_id"],
            "image_id": record["image_id"],
            "file_name": record["file_name"],
        }


class ToyClassifier(nn.Module):
    """A meta architecture of the user's own."""

    def __init__(self, cfg):
        super().__init__()
        self.layer = nn.Linear(3, cfg.MODEL.CLASSIFIER.NUM_CLASSES)
        self.loss_cls = build_loss(cfg, cfg.MODEL.CLASSIFIER.NUM_CLASSES)
        self.loss_cls.check_head(self.layer.out_features)
        self.loss_cls.init_bias(self.layer.bias)

    def forward(self, inputs):
        logits = self.layer(torch.stack([x["image"].mean((1, 2)) for x in inputs]) / 100)
        if not self.training:
            return [{"scores": scores} for scores in self.loss_cls.scores(logits)]
        return {"loss_cls": self.loss_cls(logits, torch.tensor([x["label"] for x in inputs]))}


@pytest.fixture
def toy_task():
    META_ARCH_REGISTRY.register(ToyClassifier)
    count = tasks.ClassCount("MODEL.CLASSIFIER.NUM_CLASSES", "model.layer.out_features")
    task = tasks.Task(
        class_counts={"ToyClassifier": count},
        class_list="thing_classes",
        mapper=ToyMapper,
        results={"classification": ""},
        metrics={"top1": ("top-1 accuracy", None)},
        test_batch_size=4,
    )
    tasks.TASKS.append(task)
    yield task
    tasks.TASKS.remove(task)
    META_ARCH_REGISTRY._obj_map.pop("ToyClassifier")


def test_a_task_is_a_meta_architecture_and_an_entry(toy_task, tiny_cfg, tmp_path):
    """The trainer takes mapper, batch size and number of classes from the entry."""
    for split in ("train", "val"):
        register_class_folder(f"toy_{split}", make_class_folders(tmp_path / split, [4, 2, 1]))
    cfg = tiny_cfg
    cfg.MODEL.META_ARCHITECTURE = "ToyClassifier"
    cfg.MODEL.CLASSIFIER.NUM_CLASSES = 3
    cfg.DATALOADER.ASPECT_RATIO_GROUPING = False
    cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = ("toy_train",), ("toy_val",)
    trainer = Trainer(cfg)
    trainer.train()
    assert "few" in trainer._last_eval_results["classification"]
    assert len(next(iter(Trainer.build_test_loader(cfg, "toy_val")))) == 4
    table = f"{cfg.OUTPUT_DIR}/inference/toy_val/evaluation.json"
    assert json.load(open(table))["num_categories"] == 3
    cfg.MODEL.CLASSIFIER.NUM_CLASSES = 4
    with pytest.raises(InputError, match="set MODEL.CLASSIFIER.NUM_CLASSES 3 .*model.layer.out"):
        Trainer.build_model(cfg)


def test_a_data_set_is_a_function_and_metadata(tiny_cfg):
    """Here in Detectron2's standard format, counted when it is first needed."""
    DatasetCatalog.register("toy", lambda: [{"annotations": [{"category_id": 1}]}])
    MetadataCatalog.get("toy").set(thing_classes=["a", "b"], evaluator_type="classification")
    assert category_table("toy").counts.image_count.tolist() == [0, 1]


def test_the_entry_of_classification_fits_its_architecture():
    assert tasks.task_of(ImageClassifier.__name__) is tasks.CLASSIFICATION

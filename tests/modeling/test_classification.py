import json
import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import torchvision
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import get_cfg
from detectron2.data import DatasetCatalog
from detectron2.modeling import build_model
from detectron2.utils.env import seed_all_rng
from detectron2.utils.events import EventStorage
from torch import nn
from torchvision.transforms import v2

from eql_d2 import EQFL, EQLv2, InputError, SoftmaxCE, SoftmaxEQL, add_eql_config
from eql_d2.checkpoint import EQLCheckpointer
from eql_d2.data import ClassificationMapper
from eql_d2.data.datasets.class_folders import register_class_folder
from eql_d2.data.datasets.image_lists import register_image_list
from eql_d2.engine import Trainer
from eql_d2.modeling import (
    CosineClassifier,
    ImageClassifier,
    LinearClassifier,
    TorchvisionBackbone,
)
from tests.data.class_images import make_class_folders, make_image_list
from tests.modeling.half_precision import assert_bf16_trains_as_float32

CONFIG = Path(__file__).parents[2] / "configs/quick_schedules/Base-instant-Classification.yaml"
SIZES = [12, 6, 2]


@pytest.fixture
def cfg(tmp_path):
    cfg = get_cfg()
    add_eql_config(cfg)
    cfg.merge_from_file(str(CONFIG))
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.CLASSIFIER.NUM_CLASSES = 3
    cfg.MODEL.EQL.LOSS = "SoftmaxEQL"
    cfg.MODEL.EQL.LOG_PERIOD = 2
    cfg.MODEL.EQL.FREQUENCY_THRESHOLDS = (2, 6)
    cfg.INPUT.CLASSIFICATION.CROP_SIZE = 32
    cfg.INPUT.CLASSIFICATION.RESIZE_TEST = 36
    cfg.SOLVER.IMS_PER_BATCH = 4
    cfg.SOLVER.MAX_ITER = 4
    cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = ("folder_train",), ("folder_val",)
    cfg.OUTPUT_DIR = str(tmp_path / "output")
    cfg.SEED = 7
    return cfg


@pytest.fixture
def registered_cfg(cfg, tmp_path, no_datasets_left):
    for split, sizes in (("train", SIZES), ("val", [2, 2, 2])):
        folder = make_class_folders(tmp_path / split, sizes)
        register_class_folder(f"folder_{split}", folder)
    return cfg


class Pixels(TorchvisionBackbone):
    """A backbone small enough to calculate with: one 1 x 1 convolution, then batch norm."""

    def __init__(self):
        super().__init__(nn.Sequential(nn.Conv2d(3, 5, 1), nn.BatchNorm2d(5)), "1", image_size=8)


def make_model(loss_cls, classifier=LinearClassifier, **kwargs):
    torch.manual_seed(0)
    return ImageClassifier(
        backbone=Pixels(),
        classifier=classifier(5, 3),
        loss_cls=loss_cls,
        in_feature="1",
        pixel_mean=(100.0, 110.0, 120.0),
        pixel_std=(50.0, 50.0, 50.0),
        **kwargs,
    )


def batch(labels=(0, 1, 2, 0)):
    images = torch.randint(0, 256, (len(labels), 3, 8, 8), dtype=torch.uint8)
    return [{"image": image, "label": label} for image, label in zip(images, labels)]


def test_training_is_cross_entropy_of_pooled_features_and_logs_accuracy():
    model, inputs = make_model(SoftmaxCE(3)), batch()
    images = torch.stack([x["image"] for x in inputs]).float()
    images = (images - torch.tensor([100.0, 110, 120]).view(3, 1, 1)) / 50
    logits = model.classifier(model.backbone(images)["1"].mean((2, 3)))
    labels = torch.tensor([0, 1, 2, 0])
    losses = model(inputs)
    accuracy = model.scalars["classification/accuracy"].item()
    assert list(losses) == ["loss_cls"]
    torch.testing.assert_close(losses["loss_cls"], F.cross_entropy(logits, labels))
    assert accuracy == pytest.approx((logits.argmax(1) == labels).float().mean().item())


def test_test_scores_are_probabilities_in_the_order_of_the_inputs():
    model, inputs = make_model(SoftmaxEQL(3)).eval(), batch()
    together = model(inputs)
    for one, image in zip(together, inputs):
        (alone,) = model([{"image": image["image"]}])  # a label is not needed
        torch.testing.assert_close(one["scores"], alone["scores"])
        assert one["scores"].sum().item() == pytest.approx(1)


def test_sigmoid_loss_starts_at_its_prior_in_the_bias():
    model = make_model(EQLv2(3, prior_prob=0.01)).eval()
    nn.init.zeros_(model.classifier.weight)
    (output,) = model(batch([0]))
    torch.testing.assert_close(output["scores"], torch.full((3,), 0.01))
    assert make_model(SoftmaxCE(3)).classifier.bias.abs().sum() == 0
    make_model(EQLv2(3), classifier=CosineClassifier)  # has no bias to set


def test_cosine_classifier_is_temperature_times_the_cosine():
    classifier, features = CosineClassifier(6, 4, temperature=20.0), torch.randn(5, 6)
    torch.testing.assert_close(classifier.weight.norm(dim=1), torch.ones(4))
    nn.init.normal_(classifier.weight)
    expected = 20 * F.cosine_similarity(features[:, None], classifier.weight[None], dim=2)
    torch.testing.assert_close(classifier(features), expected)
    torch.testing.assert_close(classifier(1000 * features), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("size", [3e-4, 1.0, 3e4])
def test_the_cosine_in_half_precision_is_that_of_any_size_of_features(size, dtype):
    """The square of 3e4 is infinite there, that of 3e-4 close to zero."""
    torch.manual_seed(0)
    classifier, features = CosineClassifier(64, 4), size * torch.rand(5, 64)
    features = features.to(dtype).requires_grad_()
    expected = classifier(features.float())
    logits = classifier.to(dtype)(features)
    assert logits.dtype == dtype
    torch.testing.assert_close(logits.float(), expected, rtol=0.02, atol=0.3)
    logits.sum().backward()
    assert features.grad.isfinite().all() and classifier.weight.grad.isfinite().all()


@pytest.mark.parametrize("value", [0.0, 1e-30])
def test_features_without_a_direction_give_no_nan_and_no_gradient(value):
    classifier = CosineClassifier(6, 4)
    features = torch.full((2, 6), value, requires_grad=True)
    logits = classifier(features)
    F.cross_entropy(logits, torch.tensor([0, 3])).backward()
    assert (logits == 0).all() or value > 0
    assert (features.grad == 0).all() and classifier.weight.grad.isfinite().all()


# The temperature of 30 makes a tenth of what bfloat16 rounds a cosine by.
@pytest.mark.parametrize("classifier, rtol", [(LinearClassifier, 0.02), (CosineClassifier, 0.1)])
def test_bf16_autocast_trains_as_float32(classifier, rtol):
    def step(model):
        with EventStorage():
            losses = model(inputs)
        losses["loss_cls"].backward()
        return losses

    model, inputs = make_model(SoftmaxEQL(3), classifier), batch()
    assert_bf16_trains_as_float32(model, step, rtol)


@pytest.mark.parametrize("loss", [EQLv2(3), SoftmaxEQL(3)])
def test_scores_under_bf16_autocast_are_float32(loss):
    model, inputs = make_model(loss).eval(), batch()
    nn.init.normal_(model.classifier.weight)
    with torch.autocast("cpu", torch.bfloat16):
        scores = torch.stack([output["scores"] for output in model(inputs)])
        logits = model.logits(model.preprocess_images(inputs))
    assert logits.dtype == torch.bfloat16 and scores.dtype == torch.float32
    torch.testing.assert_close(scores, loss.scores(logits.float()))


@pytest.mark.parametrize("mix", [v2.MixUp, v2.CutMix])
def test_mixed_batches_train_with_soft_labels(mix):
    model = make_model(SoftmaxEQL(3), batch_transform=mix(num_classes=3))
    inputs = batch()
    with EventStorage():
        torch.manual_seed(1)
        loss = model(inputs)["loss_cls"]
        torch.manual_seed(1)
        images, targets = model.batch_transform(
            model.preprocess_images(inputs), torch.tensor([0, 1, 2, 0])
        )
    torch.testing.assert_close(loss, F.cross_entropy(model.logits(images), targets))
    model.eval()(inputs)  # mixes nothing


def test_bad_parts_and_batches_get_one_line(cfg):
    with pytest.raises(InputError, match="SoftmaxCE is for 4 classes but the head has 3"):
        make_model(SoftmaxCE(4))
    with pytest.raises(InputError, match="EQFL needs the IoU of each box"):
        make_model(EQFL(3))
    with pytest.raises(InputError, match="temperature of CosineClassifier is 0"):
        CosineClassifier(5, 3, temperature=0)
    model, inputs = make_model(SoftmaxCE(3)), batch()
    inputs[1]["image"] = inputs[1]["image"][:, :6]
    with pytest.raises(InputError, match=r"shapes \(3, 6, 8\) and \(3, 8, 8\)"):
        model(inputs)
    cfg.MODEL.CLASSIFIER.IN_FEATURE = "res4"
    with pytest.raises(InputError, match="'res4' is not an output of the backbone, which has res5"):
        build_model(cfg)
    cfg.MODEL.CLASSIFIER.IN_FEATURE = "res5"
    cfg.MODEL.CLASSIFIER.NAME = "Linear"
    with pytest.raises(InputError, match="'Linear': choose one of CosineClassifier, LinearCla"):
        build_model(cfg)


def as_torchvision(cfg, name="resnet18", node="layer4"):
    cfg.MODEL.BACKBONE.NAME = "build_torchvision_backbone"
    cfg.MODEL.TORCHVISION.NAME, cfg.MODEL.TORCHVISION.NODE = name, node
    cfg.MODEL.CLASSIFIER.IN_FEATURE = node
    return cfg


@pytest.mark.parametrize(
    ("name", "node", "channels", "stride"),
    [("resnet18", "layer3", 256, 16), ("mobilenet_v3_small", "features", 576, 32)],
)
def test_network_of_torchvision_is_a_backbone(cfg, name, node, channels, stride):
    model = build_model(as_torchvision(cfg, name, node))
    shape = model.backbone.output_shape()[node]
    assert (shape.channels, shape.stride) == (channels, stride)
    assert model.classifier.weight.shape == (3, channels)
    with EventStorage():
        model([{"image": torch.zeros(3, 64, 64), "label": 0}] * 2)["loss_cls"].backward()
    assert all(p.grad is not None for p in model.parameters())  # nothing is left over


def test_finding_the_shape_leaves_the_network_as_it_was():
    network = torchvision.models.resnet18(weights=None)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    random_state = torch.get_rng_state()
    backbone = TorchvisionBackbone(network, "layer4")
    assert torch.equal(torch.get_rng_state(), random_state)
    assert backbone.training and backbone.model.training
    for name, value in backbone.model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_weights_of_torchvision_load_by_name(cfg, tmp_path):
    torch.manual_seed(1)
    network = torchvision.models.resnet18(weights=None).eval()
    torch.save(network.state_dict(), tmp_path / "r18.pth")
    model = build_model(as_torchvision(cfg)).eval()
    DetectionCheckpointer(model).load(f"{tmp_path}/r18.pth?matching_heuristics=True")
    images = torch.randn(1, 3, 64, 64)
    expected = network.fc(model.backbone(images)["layer4"].mean((2, 3)))
    torch.testing.assert_close(network(images), expected)


@pytest.mark.parametrize(
    ("name", "node", "message"),
    [
        ("resnet-18", "layer4", "MODEL.TORCHVISION.NAME is 'resnet-18': choose one of"),
        ("maskrcnn_resnet50_fpn", "layer4", "choose one of torchvision.models.list_models"),
        ("resnet18", "res5", "'res5' .* is not in ResNet: choose one of, or within, x, conv1"),
        ("resnet18", "flatten", r"'flatten' .* shape \(1, 512\): choose a node before"),
    ],
)
def test_unknown_network_or_node_gets_one_line(cfg, name, node, message):
    with pytest.raises(InputError, match=message) as error:
        build_model(as_torchvision(cfg, name, node))
    assert "\n" not in str(error.value)


def trained(cfg, resume=False, stop=None):
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=resume)
    trainer.max_iter = stop or cfg.SOLVER.MAX_ITER
    trainer.train()
    return trainer


def test_trains_evaluates_and_logs_by_group(registered_cfg, tmp_path):
    trainer = trained(registered_cfg)
    results = trainer._last_eval_results["classification"]
    assert list(results) == ["top1", "top5", "many", "medium", "few", "mean_class"]
    assert all(math.isfinite(value) for value in results.values())
    logged = {key for line in (tmp_path / "output/metrics.json").open() for key in json.loads(line)}
    assert {"classification/accuracy", "classification/many", "gradient_ratio/rare"} <= logged
    path = next((tmp_path / "output").rglob("per_category_classification.json"))
    table = json.loads(path.read_text())
    assert [(c["name"], c["group"], c["image_count"]) for c in table] == [
        ("class0", "f", 12),
        ("class1", "c", 6),
        ("class2", "r", 2),
    ]
    assert trainer.model.loss_cls.statistics.pos_grad.sum() > 0


def test_model_of_another_number_of_classes_is_refused(registered_cfg):
    registered_cfg.MODEL.CLASSIFIER.NUM_CLASSES = 4
    with pytest.raises(InputError, match="has 4 classes .* set MODEL.CLASSIFIER.NUM_CLASSES 3"):
        Trainer.build_model(registered_cfg)


class SameBatchesTrainer(Trainer):
    """Step i always gets batch i and random numbers i: Detectron2 resumes neither."""

    def run_step(self):
        torch.manual_seed(self.iter)
        records = DatasetCatalog.get("folder_train")
        mapper = ClassificationMapper(self.cfg, is_train=True)
        chosen = torch.randperm(len(records))[:4].tolist()
        self._trainer._data_loader_iter_obj = iter([[mapper(records[i]) for i in chosen]])
        super().run_step()


@pytest.mark.parametrize("mixup", [0.0, 0.2])
@pytest.mark.slow
def test_resume_equals_the_uninterrupted_run_to_the_last_bit(registered_cfg, tmp_path, mixup):
    registered_cfg.INPUT.CLASSIFICATION.MIXUP = mixup
    registered_cfg.SOLVER.MAX_ITER = 8
    registered_cfg.DATASETS.TEST = ()

    def run(folder, stop, seed=7):
        registered_cfg.OUTPUT_DIR = str(tmp_path / folder)
        seed_all_rng(seed)
        trainer = SameBatchesTrainer(registered_cfg)
        trainer.resume_or_load(resume=True)
        trainer.max_iter = stop
        trainer.train()
        return trainer.model.state_dict()

    expected = run("whole", 8)
    run("halves", 4)
    resumed = run("halves", 8, seed=99)
    assert resumed.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(resumed[name], value), name
    assert expected["loss_cls.statistics.pos_grad"].sum() > 0


@pytest.mark.parametrize("loss", ["SoftmaxEQL", "SEQL"])
def test_evaluation_needs_no_training_list_and_no_statistics(cfg, tmp_path, no_datasets_left, loss):
    cfg.MODEL.CLASSIFIER.NUM_CLASSES = 1000
    cfg.MODEL.EQL.LOSS = "SoftmaxCE"
    plain = build_model(cfg).eval()
    DetectionCheckpointer(plain, str(tmp_path)).save("plain")
    register_image_list(
        "own", make_image_list(tmp_path / "a", [0, 999]), str(tmp_path / "a"), num_classes=1000
    )
    cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = ("imagenet_lt_nowhere",), ("own",)
    DatasetCatalog.register("imagenet_lt_nowhere", lambda: open("/nowhere/train.txt"))
    cfg.MODEL.EQL.LOSS = loss
    model = Trainer.build_model(cfg)
    EQLCheckpointer(model).load(str(tmp_path / "plain.pth"))
    assert "top1" in Trainer.test(cfg, model)["classification"]
    inputs = [{"image": torch.rand(3, 32, 32) * 255}]
    torch.testing.assert_close(model.eval()(inputs), plain(inputs))

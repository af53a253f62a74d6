"""Anchors counted without pixels, and where the classes then begin, against real first steps."""

import itertools

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog
from detectron2.modeling import build_model
from detectron2.structures import Boxes, BoxMode, Instances
from detectron2.utils.events import EventStorage

from eql_d2.data import MosaicMixup, ResizeLongestEdge, TrainingRecords
from eql_d2.modeling import ImageSize, anchor_counts, count_anchors, initial_regime
from eql_d2.modeling.initial_regime import TARGET_RATIO, predict_regime
from eql_d2.tasks import build_mapper
from tests.conftest import as_retinanet
from tests.data.mosaic.scenes import dataset_of, mapper_of

SIZE = ImageSize(64, 80)


@pytest.fixture
def cfg(registered_cfg):
    cfg = as_retinanet(registered_cfg)
    cfg.INPUT.RANDOM_FLIP, cfg.INPUT.MAX_SIZE_TRAIN = "none", 80
    return cfg


def with_atss(cfg):
    cfg.MODEL.META_ARCHITECTURE = "EQLImprovedBaseline"
    cfg.MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS = [[1.0]]
    cfg.MODEL.ANCHOR_GENERATOR.SIZES = [[16, 24]] * 5
    cfg.MODEL.FPN.OUT_CHANNELS = 32
    cfg.MODEL.RETINANET.NORM, cfg.MODEL.RETINANET.BBOX_REG_LOSS_TYPE = "GN", "giou"
    return cfg


def records_of(num_classes, num_images, seed=0):
    """Boxes on images of 64 x 80, of class k about 1 / (k + 1) as often as of class 0."""
    rng = np.random.default_rng(seed)
    share = 1 / np.arange(1, num_classes + 1)
    records = []
    for _ in range(num_images):
        annotations = []
        for category_id in rng.choice(num_classes, 6, p=share / share.sum()):
            x, y, width, height = rng.integers([0, 0, 12, 12], [50, 36, 30, 28]).tolist()
            box = {"bbox": [x, y, width, height], "bbox_mode": BoxMode.XYWH_ABS}
            annotations.append({**box, "category_id": int(category_id), "iscrowd": 0})
        records.append({"height": 64, "width": 80, "annotations": annotations})
    return records


def first_step(model, records):
    """Gradient ratio of each class after one step on all images, of noise."""
    generator = torch.Generator().manual_seed(1)
    inputs = []
    for record in records:
        classes = torch.tensor([x["category_id"] for x in record["annotations"]]).long()
        boxes = torch.tensor([x["bbox"] for x in record["annotations"]]).float().reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        instances = Instances((64, 80), gt_classes=classes)
        instances.gt_boxes = Boxes(boxes)
        image = 255 * torch.rand(3, 64, 80, generator=generator)
        inputs.append({"image": image, "instances": instances})
    model.loss_cls.monitor()
    with EventStorage():
        model.train()(inputs)
    return model.loss_cls.statistics.ratio()


@pytest.mark.parametrize("prepare", [lambda cfg: cfg, with_atss], ids=["RetinaNet", "ATSS"])
def test_anchors_are_those_of_a_training_step(cfg, prepare, monkeypatch):
    model, mapper = build_model(prepare(cfg)), build_mapper(cfg, is_train=True)
    records = DatasetCatalog.get("tiny_train")
    labels, label = [], model.label_anchors

    def noting(*args):
        result = label(*args)
        labels.extend(result[0])
        return result

    monkeypatch.setattr(model, "label_anchors", noting)
    with EventStorage():
        model.train()([mapper(record) for record in records])
    used, counts = torch.cat(labels), count_anchors(model, records, ImageSize.of_mapper(mapper))
    assert counts.num_anchors == (used >= 0).sum() / 8
    assert (counts.positives * 8).tolist() == [int((used == k).sum()) for k in range(5)]
    assert counts.quality.min() > 0.2 and counts.quality.max() < 1


def test_images_count_as_often_as_they_are_repeated(cfg):
    model, records = build_model(cfg), records_of(5, 3)
    repeated = count_anchors(model, [records[0]] * 3 + records[1:], SIZE)
    weighted = count_anchors(model, records, SIZE, [3.0, 1.0, 1.0])
    torch.testing.assert_close(weighted.positives, repeated.positives)
    assert weighted.num_anchors == pytest.approx(repeated.num_anchors)


def test_a_sample_of_many_images_stands_for_all(cfg, monkeypatch):
    model, records = build_model(cfg), records_of(5, 200)
    for number, record in enumerate(records):
        del record["annotations"][number % 7 :]
    everything = count_anchors(model, records, SIZE, batch_size=2)
    monkeypatch.setattr(anchor_counts, "_MOST_IMAGES", 70)
    sampled = count_anchors(model, records, SIZE, batch_size=2)
    assert not torch.equal(sampled.positives, everything.positives)
    torch.testing.assert_close(sampled.positives, everything.positives, rtol=0.2, atol=0)
    torch.testing.assert_close(sampled.step_positives, everything.step_positives, rtol=0.2, atol=0)
    assert sampled.step_anchors == pytest.approx(everything.step_anchors, rel=0.05)
    assert everything.step_anchors > 1.3 * everything.num_anchors
    assert sampled.num_anchors == pytest.approx(everything.num_anchors, rel=0.02)


def test_crowds_and_images_without_objects_have_no_positives(cfg):
    (record,) = records_of(5, 1)
    crowd = {**record, "annotations": [{**x, "iscrowd": 1} for x in record["annotations"]]}
    counts = count_anchors(build_model(cfg), [crowd, {**record, "annotations": []}], SIZE)
    assert counts.positives.sum() == 0 and counts.num_anchors > 100 and not counts.quality.any()


def test_size_is_the_middle_one_of_the_mapper(cfg):
    for style, sizes, middle in (("choice", (40, 64, 100), 64), ("range", (40, 100), 70)):
        cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.MIN_SIZE_TRAIN_SAMPLING = sizes, style
        assert ImageSize.of_mapper(build_mapper(cfg, is_train=True)) == (middle, 80)
    assert ImageSize.of_mapper(lambda record: record) is None


def test_size_is_the_middle_one_of_the_longer_side(cfg):
    cfg.INPUT.LONGEST_EDGE_TRAIN = (100, 40, 64)
    size = ImageSize.of_mapper(build_mapper(cfg, is_train=True))
    assert size.of(480, 640) == (48, 64) and size.of(30, 20) == (64, 43)


@pytest.mark.parametrize("weighted", [False, True], ids=["uniform", "sampler"])
def test_anchors_of_mixed_images_are_those_of_the_loader(cfg, weighted):
    """In the mean over many: the last class is rare, and its images come four times as often."""
    model, records = build_model(with_atss(cfg)), records_of(5, 120)
    factors = np.array(
        [1 + 3 * any(x["category_id"] == 4 for x in r["annotations"]) for r in records]
    )
    mosaic = dataset_of(
        [{**record, "file_name": ""} for record in records],
        MosaicMixup(96, mixup_prob=0.5),
        mapper_of([ResizeLongestEdge((64,))]),
        partner_weights=factors if weighted else None,
    )
    np.random.seed(0)
    before = np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    data = TrainingRecords(mosaic._dataset, mosaic.mapper, factors, mosaic)
    counts = predict_regime(model, data, "ffccr").anchors
    assert (np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()) == before

    positives = torch.zeros(5)
    for index in np.random.choice(120, 500, p=factors / factors.sum()):
        labels, _ = anchor_counts._label_anchors(model, mosaic.draw_objects(index))
        positives += torch.bincount(labels[labels < 5], minlength=5) / 500
    torch.testing.assert_close(counts.positives.float(), positives, rtol=0.2, atol=0)
    assert counts.num_anchors == len(labels)
    assert (counts.quality > 0.2).all()


def test_a_class_that_no_chosen_image_has_takes_the_quality_of_all(cfg, monkeypatch):
    model, records = build_model(with_atss(cfg)), records_of(4, 20)
    records[7]["annotations"][0]["category_id"] = 4
    monkeypatch.setattr(anchor_counts, "_MOST_IMAGES", 10)
    counts = count_anchors(model, records, SIZE)
    assert counts.positives[4] > 0
    assert counts.quality[:4].min() < counts.quality[4] < counts.quality[:4].max()


@pytest.mark.parametrize("loss", ["EFL", "EQFL", "FocalLoss"])
@pytest.mark.parametrize("prepare", [lambda cfg: cfg, with_atss], ids=["RetinaNet", "ATSS"])
def test_prediction_is_what_the_first_step_measures(cfg, prepare, loss):
    """Exact where p is the prior everywhere; Detectron2's random weights move it a little,
    with group norm more, and the boxes too: then within 15% in the mean of the classes."""
    cfg.MODEL.EQL.LOSS, cfg.MODEL.EQL.PRIOR_PROB = loss, 0.02
    torch.manual_seed(0)
    model, records = build_model(prepare(cfg)), records_of(5, 40)
    regime = initial_regime(model.loss_cls, count_anchors(model, records, SIZE), "ffccr")
    error = (first_step(model, records) / regime.ratio).log().mean().exp() - 1
    if not (prepare is with_atss and loss == "EQFL"):
        assert abs(error) < 0.15
    model.loss_cls.statistics.reset()
    for layer in (model.head.cls_score, model.head.bbox_pred):
        torch.nn.init.zeros_(layer.weight)
    rtol = 0.02 if loss == "EQFL" else 1e-3  # one quality stands for those of a class
    torch.testing.assert_close(regime.ratio, first_step(model, records), rtol=rtol, atol=0)


def test_prediction_is_what_steps_of_two_images_accumulate(cfg):
    """Over all pairs; each step is divided by its own positives, and the images differ in them."""
    cfg.MODEL.EQL.LOSS = "FocalLoss"
    model, records = build_model(cfg), records_of(5, 4)
    torch.nn.init.zeros_(model.head.cls_score.weight)
    for number, record in enumerate(records):
        del record["annotations"][2 * number :]
    for pair in itertools.product(records, repeat=2):
        first_step(model, pair)
    measured = model.loss_cls.statistics.ratio()
    by_means, by_steps = (
        initial_regime(model.loss_cls, count_anchors(model, records, SIZE, batch_size=b), "fffff")
        for b in (None, 2)
    )
    torch.testing.assert_close(by_steps.ratio, measured, rtol=1e-3, atol=0)
    seen = measured > 0
    assert (by_means.ratio / measured)[seen].log().mean() > 0.2


def test_prediction_for_1203_classes(cfg):
    """Of nine in ten classes within 15%, and in the mean within 3%."""
    cfg.MODEL.RETINANET.NUM_CLASSES, cfg.MODEL.EQL.PRIOR_PROB = 1203, 0.001
    torch.manual_seed(0)
    model, records = build_model(cfg), records_of(1203, 60)
    predicted = initial_regime(
        model.loss_cls, count_anchors(model, records, SIZE), "f" * 1203
    ).ratio
    measured = first_step(model, records)
    seen = predicted > 0
    assert torch.equal(seen, measured > 0) and 100 < seen.sum() < 1203
    error = measured[seen] / predicted[seen] - 1
    assert (error.abs() < 0.15).double().mean() > 0.9 and error.mean().abs() < 0.03


def test_suggested_prior_starts_the_median_class_of_the_rarest_group_at_the_target(cfg):
    model, records = build_model(cfg), records_of(5, 40)
    anchors = count_anchors(model, records, SIZE)
    regime = initial_regime(model.loss_cls, anchors, "fcccc")
    model.loss_cls.prior_prob = regime.suggested_prior
    assert initial_regime(model.loss_cls, anchors, "fcccc").medians["common"] == pytest.approx(
        TARGET_RATIO, rel=0.5
    )
    assert list(regime.medians) == ["common", "frequent"]


def test_a_loss_that_begins_as_its_baseline_is_told_from_one_that_does_not(cfg):
    anchors = count_anchors(build_model(cfg), records_of(5, 40), SIZE)
    for loss, prior, expected in (
        ("EFL", 0.001, True),
        ("EFL", 0.3, False),
        ("FocalLoss", 0.001, False),
    ):
        cfg.MODEL.EQL.LOSS, cfg.MODEL.EQL.PRIOR_PROB = loss, prior
        regime = initial_regime(build_model(cfg).loss_cls, anchors, "ffccr")
        assert regime.is_baseline == expected, (loss, prior, regime)
        assert ("EFL's factor moves it from the second step on" in str(regime)) == (loss == "EFL")

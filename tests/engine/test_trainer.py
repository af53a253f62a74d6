import json

import numpy as np
import pytest
import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import get_cfg
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.engine.hooks import PreciseBN
from detectron2.modeling import build_model
from detectron2.utils.env import seed_all_rng

from eql_d2 import InputError
from eql_d2.checkpoint import EQLCheckpointer
from eql_d2.data import register_json_instances
from eql_d2.engine import Trainer
from eql_d2.engine.hooks import find_statistics
from eql_d2.gradient_record import read_record
from tests.conftest import as_retinanet


def statistics_of(model):
    (statistics,) = find_statistics(model).values()
    return statistics


def trained(cfg):
    seed_all_rng(cfg.SEED)
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume=False)
    trainer.train()
    return trainer


def test_trains_evaluates_and_logs_the_ratio(registered_cfg, tmp_path):
    trainer = trained(registered_cfg)
    results = trainer._last_eval_results
    assert {"bbox", "segm"} <= set(results) and {"APr", "APc", "APf"} <= set(results["bbox"])
    lines = [json.loads(line) for line in (tmp_path / "output/metrics.json").open()]
    logged = {key for line in lines for key in line}
    assert {"gradient_ratio/rare", "gradient_ratio/all", "bbox/AP", "segm/APr"} <= logged
    record = read_record(tmp_path / "output")
    assert record.iterations.tolist() == [2, 4]
    assert [c["image_count"] for c in record.categories] == [8, 4, 2, 2, 1]
    assert [c["instance_count"] for c in record.categories] == [8, 4, 2, 2, 1]
    ratio = record.losses["roi_heads.box_predictor.loss_cls"].ratio[-1]
    np.testing.assert_array_equal(ratio, statistics_of(trainer.model).ratio().float())
    per_category = json.load(open(tmp_path / "output/inference/tiny_val/per_category_bbox.json"))
    assert [category["group"] for category in per_category] == ["r"] * 5


def test_frequency_thresholds_make_the_groups(registered_cfg, tmp_path):
    registered_cfg.MODEL.EQL.FREQUENCY_THRESHOLDS = (2, 4)
    registered_cfg.SOLVER.MAX_ITER = 2
    trained(registered_cfg)
    per_category = json.load(open(tmp_path / "output/inference/tiny_val/per_category_bbox.json"))
    # images that contain classes 0..4: 8, 4, 2, 2, 1
    assert [category["group"] for category in per_category] == ["f", "c", "r", "r", "r"]


def test_model_of_another_number_of_classes_is_refused(registered_cfg):
    registered_cfg.MODEL.ROI_HEADS.NUM_CLASSES = 80
    with pytest.raises(InputError, match="has 80 classes but data set 'tiny_train' has 5"):
        Trainer.build_model(registered_cfg)


def test_eql_counts_its_frequencies_from_the_training_data(registered_cfg):
    registered_cfg.MODEL.EQL.LOSS = "EQL"
    registered_cfg.SOLVER.MAX_ITER = 2
    model = trained(registered_cfg).model
    frequency = model.roi_heads.box_predictor.loss_cls.image_frequency
    torch.testing.assert_close(frequency, torch.tensor([8, 4, 2, 2, 1]).double() / 8)


def test_balanced_softmax_counts_the_instances_of_the_training_data(registered_cfg):
    registered_cfg.MODEL.EQL.LOSS = "BalancedSoftmax"
    loss = Trainer(registered_cfg).model.roi_heads.box_predictor.loss_cls
    assert loss.class_count.tolist() == [8, 4, 2, 2, 1]


def test_data_of_another_order_of_classes_are_trained_on_together(registered_cfg, data):
    """Before the model is built, too: the loader of the epochs joins them."""
    content = json.loads((data / "val.json").read_text())
    for category in content["categories"]:
        category["id"] = 60 - category["id"]
    for annotation in content["annotations"]:
        annotation["category_id"] = 60 - annotation["category_id"]
    (data / "turned.json").write_text(json.dumps(content))
    register_json_instances("turned", str(data / "turned.json"), str(data / "val"))
    registered_cfg.DATASETS.TRAIN = ("tiny_train", "turned")
    for key in ("MAX_ITER", "STEPS", "WARMUP_ITERS"):
        registered_cfg.SOLVER[key] = get_cfg().SOLVER[key]
    registered_cfg.SOLVER.EPOCHS = 1
    registered_cfg.MODEL.EQL.LOSS = "BalancedSoftmax"
    trainer = Trainer(registered_cfg)
    assert trainer.max_iter == 8
    loss = trainer.model.roi_heads.box_predictor.loss_cls
    assert loss.class_count.tolist() == [16, 8, 4, 4, 2]


def test_b_eql_reads_the_annotations_once_before_the_first_step(registered_cfg):
    """Not in the first forward, and not once for each stage of a cascade."""
    cfg = registered_cfg
    cfg.MODEL.EQL.LOSS = "EQL"
    cfg.MODEL.ROI_HEADS.NAME = "EQLCascadeROIHeads"
    cfg.MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG = True
    loaded, load = [], DatasetCatalog["tiny_train"]

    def counting():
        loaded.append(True)
        return load()

    DatasetCatalog.remove("tiny_train")
    DatasetCatalog.register("tiny_train", counting)
    metadata = MetadataCatalog.get("tiny_train").as_dict()
    MetadataCatalog.remove("tiny_train")
    counts = ("class_image_count", "num_annotated_images")
    MetadataCatalog.get("tiny_train").set(
        **{key: value for key, value in metadata.items() if key not in counts}
    )
    trainer = Trainer(cfg)
    losses = [predictor.loss_cls for predictor in trainer.model.roi_heads.box_predictor]
    assert len(losses) == 3
    for loss in losses:
        assert loss.image_frequency.tolist() == [1, 0.5, 0.25, 0.25, 0.125]
    assert len(loaded) == 2  # by the data loader, and to be counted
    trainer.max_iter = 1
    trainer.train()
    assert len(loaded) == 2


def test_evaluation_needs_no_training_annotations(registered_cfg):
    registered_cfg.MODEL.EQL.LOSS = "EQL"
    registered_cfg.DATASETS.TRAIN = ("nowhere",)
    DatasetCatalog.register("nowhere", lambda: open("/nowhere/train.json"))
    try:
        results = Trainer.test(registered_cfg, Trainer.build_model(registered_cfg))
    finally:
        DatasetCatalog.remove("nowhere")
    assert "AP" in results["bbox"]


def save_plain_detectron2(cfg, path):
    """A checkpoint of Detectron2's own heads."""
    cfg = cfg.clone()
    cfg.MODEL.ROI_HEADS.NAME = "StandardROIHeads"
    torch.manual_seed(1)
    model = build_model(cfg).eval()
    DetectionCheckpointer(model, str(path)).save("plain")
    return model, str(path / "plain.pth")


def test_plain_detectron2_checkpoint_loads_quietly_and_predicts_the_same(
    registered_cfg, tmp_path, warnings
):
    plain, path = save_plain_detectron2(registered_cfg, tmp_path)
    registered_cfg.MODEL.EQL.LOSS = "SoftmaxCE"
    model = build_model(registered_cfg).eval()
    EQLCheckpointer(model).load(path)
    inputs = [{"image": 255 * torch.rand(3, 64, 80)}]
    expected, found = plain(inputs)[0]["instances"], model(inputs)[0]["instances"]
    assert len(found) > 0
    assert torch.equal(found.scores, expected.scores)
    assert torch.equal(found.pred_boxes.tensor, expected.pred_boxes.tensor)
    assert torch.equal(found.pred_masks, expected.pred_masks)

    registered_cfg.MODEL.EQL.LOSS = "EQLv2"
    EQLCheckpointer(build_model(registered_cfg)).load(path)
    assert not warnings


def test_own_checkpoint_loads_quietly_with_its_statistics(registered_cfg, tmp_path, warnings):
    trainer = trained(registered_cfg)
    expected = statistics_of(trainer.model).pos_grad
    assert expected.sum() > 0
    warnings.clear()
    model = build_model(registered_cfg)
    EQLCheckpointer(model).load(str(tmp_path / "output/model_final.pth"))
    assert torch.equal(statistics_of(model).pos_grad, expected)
    assert not warnings


@pytest.mark.parametrize("reset", [False, True])
def test_statistics_from_weights_stay_unless_they_are_reset(registered_cfg, tmp_path, reset):
    first = trained(registered_cfg)
    registered_cfg.MODEL.WEIGHTS = str(tmp_path / "output/model_final.pth")
    registered_cfg.MODEL.EQL.RESET_STATISTICS = reset
    registered_cfg.OUTPUT_DIR = str(tmp_path / "second")
    second = Trainer(registered_cfg)
    second.resume_or_load(resume=True)  # nothing to resume from there
    expected = 0 if reset else statistics_of(first.model).neg_grad
    assert torch.equal(statistics_of(second.model).neg_grad, expected + torch.zeros(5).double())


def test_reset_never_touches_a_resumed_run(registered_cfg):
    first = trained(registered_cfg)
    registered_cfg.MODEL.EQL.RESET_STATISTICS = True
    second = Trainer(registered_cfg)
    second.resume_or_load(resume=True)
    assert torch.equal(statistics_of(second.model).neg_grad, statistics_of(first.model).neg_grad)


def test_retinanet_trains_and_evaluates(registered_cfg):
    as_retinanet(registered_cfg)
    trainer = trained(registered_cfg)
    assert statistics_of(trainer.model).neg_grad.min() > 0
    assert "APr" in trainer._last_eval_results["bbox"]


@pytest.mark.slow
def test_precise_bn_of_the_real_trainer_does_not_count(registered_cfg):
    """PreciseBN runs forwards in training mode."""
    model = trained(registered_cfg).model
    before = statistics_of(model).neg_grad.clone()
    running_mean = model.backbone.bottom_up.stem.conv1.norm.running_mean.clone()
    PreciseBN(1, model, Trainer.build_train_loader(registered_cfg), num_iter=3).update_stats()
    assert not torch.equal(model.backbone.bottom_up.stem.conv1.norm.running_mean, running_mean)
    assert torch.equal(statistics_of(model).neg_grad, before)

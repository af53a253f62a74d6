"""What a training says of its prior, and the prior that it finds in its data."""

import json
import logging

import pytest
import torch
from detectron2.config import LazyConfig
from detectron2.data import DatasetCatalog
from detectron2.utils.env import seed_all_rng

from eql_d2 import InputError
from eql_d2.data import training_records
from eql_d2.engine import Trainer
from eql_d2.engine.prior import with_found_prior_lazy, without_auto_prior
from tests.conftest import as_retinanet


@pytest.fixture
def cfg(registered_cfg):
    registered_cfg.SOLVER.MAX_ITER = 2
    registered_cfg.DATASETS.TEST = ()
    return as_retinanet(registered_cfg)


def trained(cfg, resume=False):
    seed_all_rng(cfg.SEED)
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume)
    trainer.train()
    return trainer


def losses(cfg):
    lines = map(json.loads, open(f"{cfg.OUTPUT_DIR}/metrics.json"))
    return [line["total_loss"] for line in lines if "total_loss" in line]


def spoken(caplog, level):
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno == level and record.name == "eql_d2.engine.prior"
    ]


def test_the_start_of_a_training_says_where_the_classes_begin(cfg, caplog):
    caplog.set_level(logging.INFO)
    trained(cfg)
    (line,) = spoken(caplog, logging.INFO)
    assert "predicted  rare: " in line and "prior 0.001" in line and "\n" not in line
    (warning,) = spoken(caplog, logging.WARNING)
    assert "EFL begins as its baseline" in warning and "MODEL.EQL.PRIOR_PROB" in warning
    caplog.clear()
    cfg.SOLVER.MAX_ITER = 3
    trained(cfg, resume=True)
    assert not spoken(caplog, logging.INFO) and not spoken(caplog, logging.WARNING)


@pytest.mark.parametrize("loss, prior", [("FocalLoss", 0.001), ("EFL", 0.4)])
def test_no_warning_where_there_is_nothing_to_warn_of(cfg, caplog, loss, prior):
    cfg.MODEL.EQL.LOSS, cfg.MODEL.EQL.PRIOR_PROB, cfg.MODEL.EQL.MONITOR = loss, prior, True
    caplog.set_level(logging.INFO)
    trained(cfg)
    assert len(spoken(caplog, logging.INFO)) == 1 and not spoken(caplog, logging.WARNING)


def test_a_training_does_not_fail_because_of_the_prediction(cfg, caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    data = training_records(Trainer.build_train_loader(cfg))
    records = [{key: x[key] for key in x if key != "height"} for x in data.records]
    found = data._replace(records=records)
    monkeypatch.setattr("eql_d2.engine.prior.training_records", lambda loader: found)
    trained(cfg)
    assert spoken(caplog, logging.WARNING) == [
        "No prediction of where the classes begin: KeyError('height')"
    ]
    assert len(losses(cfg)) > 0


def test_a_two_stage_detector_says_nothing(registered_cfg, caplog):
    registered_cfg.SOLVER.MAX_ITER, registered_cfg.DATASETS.TEST = 2, ()
    caplog.set_level(logging.INFO)
    trained(registered_cfg)
    assert not spoken(caplog, logging.INFO)


def test_the_prediction_draws_no_random_number(cfg, monkeypatch, tmp_path):
    trained(cfg)
    expected, cfg.OUTPUT_DIR = losses(cfg), str(tmp_path / "without")
    monkeypatch.setattr("eql_d2.engine.prior.InitialRegimeHook.before_train", lambda self: None)
    trained(cfg)
    assert losses(cfg) == expected


def test_auto_is_the_training_with_the_number_it_finds(cfg, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    cfg.MODEL.EQL.PRIOR_PROB = "auto"
    trainer = trained(cfg)
    prior, found = trainer.model.loss_cls.prior_prob, losses(cfg)
    assert 0.001 < prior <= 0.5 and trainer.cfg.MODEL.EQL.PRIOR_PROB == prior
    torch.manual_seed(0)
    cfg.MODEL.EQL.PRIOR_PROB, cfg.OUTPUT_DIR = prior, str(tmp_path / "number")
    trained(cfg)
    assert losses(cfg) == found


def test_auto_goes_by_repeat_factors(cfg):
    priors = []
    for sampler in ("TrainingSampler", "RepeatFactorTrainingSampler"):
        cfg.MODEL.EQL.PRIOR_PROB, cfg.DATALOADER.SAMPLER_TRAIN = "auto", sampler
        cfg.DATALOADER.REPEAT_THRESHOLD = 0.9
        cfg.MODEL.EQL.FREQUENCY_THRESHOLDS = (2, 4)
        priors.append(Trainer(cfg).cfg.MODEL.EQL.PRIOR_PROB)
    assert priors[0] < priors[1]


def test_evaluation_with_auto_reads_no_training_data(cfg, monkeypatch):
    cfg.MODEL.EQL.PRIOR_PROB = "auto"
    monkeypatch.setattr(DatasetCatalog, "get", None)
    assert Trainer.build_model(cfg).loss_cls.prior_prob == 0.001


def test_auto_is_refused_by_other_detectors(registered_cfg):
    registered_cfg.MODEL.EQL.PRIOR_PROB = "auto"
    with pytest.raises(InputError, match="GeneralizedRCNN is none: set MODEL.EQL.PRIOR_PROB") as e:
        Trainer(registered_cfg)
    assert "\n" not in str(e.value)


def test_auto_in_a_lazy_config(registered_cfg):
    cfg = LazyConfig.load("configs/quick_schedules/improved_baseline_R_18_FPN_instant_efl.py")
    cfg.dataloader.train.dataset.names = "tiny_train"
    cfg.dataloader.train.num_workers = 0
    cfg.model.num_classes = 5
    assert with_found_prior_lazy(cfg) is cfg and without_auto_prior(cfg) is cfg
    cfg.model.loss_cls.prior_prob = "auto"
    found = with_found_prior_lazy(cfg)
    assert 0.001 < found.model.loss_cls.prior_prob <= 0.5
    assert cfg.model.loss_cls.prior_prob == "auto"
    assert without_auto_prior(cfg).model.loss_cls.prior_prob is None


def test_records_of_loaders_that_are_not_detectron2s_are_not_found(cfg):
    data = training_records(Trainer.build_train_loader(cfg))
    assert len(data.records) == 8 and data.mapper.is_train and data.repeat_factors is None
    assert training_records([{"image": 0}]) is None


@pytest.mark.parametrize("grouped", [True, False])
def test_images_of_a_step_are_known(cfg, grouped):
    cfg.SOLVER.IMS_PER_BATCH, cfg.DATALOADER.ASPECT_RATIO_GROUPING = 4, grouped
    assert training_records(Trainer.build_train_loader(cfg)).batch_size == 4

"""Every config builds, and the .yaml and the .py of one stem are the same experiment."""

import copy
import inspect
import sys
from types import SimpleNamespace

import pytest
import torch
from detectron2.config import LazyConfig, instantiate
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.catalog import Metadata
from detectron2.solver import LRMultiplier
from omegaconf import OmegaConf

from eql_d2.data import get_image_frequency
from eql_d2.engine import Trainer, check_lazy, check_yaml
from eql_d2.engine.build import EQLSettings
from eql_d2.engine.config import combinations, environment, lazy_checks
from eql_d2.engine.config.lazy_files import unread_arguments
from eql_d2.engine.epochs import with_iterations, with_iterations_lazy
from eql_d2.engine.prior import without_auto_prior_yaml
from eql_d2.evaluation import build_evaluator
from eql_d2.solver import build_optimizer
from tests.config_twins import (
    CONFIGS,
    LAZY_ONLY,
    TWINS,
    YAML,
    Twins,
    build_lazy_model,
    build_yaml_model,
    load_yaml,
    loader_settings,
    model_settings,
    name_of,
    optimizer_settings,
    plain,
    records_of,
)


@pytest.fixture(scope="module", params=TWINS, ids=name_of)
def twins(request):
    return Twins(request.param)


def test_only_the_demo_has_no_twins():
    assert {p.parent.name for p in YAML if p not in TWINS} == {"Demo"} and len(TWINS) == 85
    leaves = [p for p in CONFIGS.rglob("*.py") if p.parent.name != "common"]
    single = [p for p in leaves if "base_" not in p.name and not p.with_suffix(".yaml").exists()]
    assert {str(p.relative_to(CONFIGS)) for p in single} == set(LAZY_ONLY)
    assert all(LAZY_ONLY.values())  # the reason


@pytest.mark.parametrize("path", [p for p in YAML if p not in TWINS], ids=name_of)
def test_config_builds(path, monkeypatch):
    cfg = load_yaml(path)
    # The federated loss asks the metadata, which registration fills.
    count = [{"id": i, "image_count": 1} for i in range(cfg.MODEL.ROI_HEADS.NUM_CLASSES)]
    for name in cfg.DATASETS.TRAIN:
        metadata = Metadata(name=name, class_image_count=count)
        monkeypatch.setitem(MetadataCatalog.data, name, metadata)
    assert build_yaml_model(without_auto_prior_yaml(cfg)).training


@pytest.fixture
def elsewhere(monkeypatch):
    """The machine that a config is for: it has a GPU and the data."""
    monkeypatch.setattr(environment, "_PATHS", ())
    for module in (combinations, lazy_checks):
        monkeypatch.setattr(module, "check_device", lambda key, device: iter(()))


@pytest.mark.parametrize("path", [p for p in YAML if p not in TWINS], ids=name_of)
def test_config_passes_the_checks(path, elsewhere):
    cfg = load_yaml(path)
    cfg.DATASETS.JSON = tuple((name, "", "") for name in (*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST))
    check_yaml(cfg, training=True)
    check_yaml(cfg, training=False)


def test_twins_pass_the_checks(twins, elsewhere):
    for training in (True, False):
        check_yaml(twins.cfg, training)
        check_lazy(twins.lazy, {}, training)
    assert list(unread_arguments(OmegaConf.to_container(twins.lazy, resolve=False))) == []


def test_twins_have_the_same_model(twins, monkeypatch):
    # In place of the counts of the training data, which are not here: what would be counted
    monkeypatch.setattr(
        sys.modules[get_image_frequency.__module__],
        "_counted",
        lambda names, _: SimpleNamespace(
            image_count=hash(tuple(names)),
            num_images=1,
            pixel_count=hash(tuple(names)),
            instance_count=None,
        ),
    )
    model, lazy_model = twins.models
    assert model_settings(lazy_model) == model_settings(model)


def test_twins_have_the_same_optimizer(twins):
    model, lazy_model = twins.models
    optimizer = build_optimizer(twins.cfg, model)
    node = copy.deepcopy(twins.lazy.optimizer)
    node.params.model = lazy_model
    assert optimizer_settings(instantiate(node), lazy_model) == optimizer_settings(optimizer, model)


@pytest.fixture
def stand_in(monkeypatch):
    """Records without images in the place of all data."""
    monkeypatch.setattr(DatasetCatalog, "get", records_of)
    monkeypatch.setattr("eql_d2.data.build.check_training_records", lambda *_: None)
    # A log of 1,203 classes each time, which would take half of the time of this file
    monkeypatch.setattr("detectron2.data.build.print_instances_class_histogram", lambda *_: None)


@pytest.fixture
def in_iterations(twins, stand_in):
    """Both configs of a stem with iterations in the place of epochs, counted in the stand-in."""
    assert twins.cfg.SOLVER.EPOCHS == twins.lazy.train.epochs
    cfg = with_iterations(twins.cfg, Trainer.build_train_loader)
    return cfg, with_iterations_lazy(twins.lazy)


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more workers than cores here
def test_twins_have_the_same_schedule(in_iterations):
    cfg, lazy = in_iterations

    def optimizer(lr):
        return torch.optim.SGD([torch.zeros(1)], lr)

    max_iter = cfg.SOLVER.MAX_ITER
    turns = (*cfg.SOLVER.STEPS, cfg.SOLVER.WARMUP_ITERS)
    iterations = {*range(0, max_iter, max(1, max_iter // 100))}
    iterations |= {i for turn in turns for i in (turn - 1, turn) if 0 <= i < max_iter}
    rates = [], []
    schedulers = (
        Trainer.build_lr_scheduler(cfg, optimizer(cfg.SOLVER.BASE_LR)),
        LRMultiplier(
            optimizer(lazy.optimizer.lr), instantiate(lazy.lr_multiplier), lazy.train.max_iter
        ),
    )
    for found, scheduler in zip(rates, schedulers):
        for scheduler.last_epoch in sorted(iterations):
            found += scheduler.get_lr()
    assert rates[1] == pytest.approx(rates[0])


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_twins_train_alike(twins, in_iterations):
    cfg, train = in_iterations[0], in_iterations[1].train
    assert train.max_iter == cfg.SOLVER.MAX_ITER
    assert train.init_checkpoint == cfg.MODEL.WEIGHTS
    assert train.device == cfg.MODEL.DEVICE
    assert train.output_dir == cfg.OUTPUT_DIR
    assert train.amp.enabled == cfg.SOLVER.AMP.ENABLED
    assert train.checkpointer.period == cfg.SOLVER.CHECKPOINT_PERIOD
    assert train.eval_period == cfg.TEST.EVAL_PERIOD
    ema = cfg.MODEL.EMA
    assert dict(train.model_ema) == {"decay": ema.DECAY, "warmup": ema.WARMUP}
    assert train.average_norm == cfg.TEST.AVERAGE_NORM
    assert plain(EQLSettings.from_lazy(twins.lazy)) == plain(EQLSettings.from_yaml(cfg))


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more workers than cores here
def test_twins_load_the_same_data(twins, stand_in):
    cfg, lazy = twins.cfg, twins.lazy.dataloader
    train, lazy_train = Trainer.build_train_loader(cfg), instantiate(lazy.train)
    assert loader_settings(lazy_train) == loader_settings(train)
    (name,) = cfg.DATASETS.TEST
    test, lazy_test = Trainer.build_test_loader(cfg, name), instantiate(lazy.test)
    assert loader_settings(lazy_test) == loader_settings(test)


def evaluator_arguments(dataset_name, output_dir, **kwargs):
    """What counts of the arguments of an evaluator, which for label maps has rules of its own."""
    call = inspect.signature(build_evaluator).bind(dataset_name, output_dir, **kwargs)
    call.apply_defaults()
    is_sem_seg = MetadataCatalog.get(dataset_name).evaluator_type == "sem_seg"
    for name in ("output_dir", "frequency_thresholds" if is_sem_seg else "sem_seg_groups"):
        del call.arguments[name]
    if isinstance(call.arguments["training_datasets"], str):
        call.arguments["training_datasets"] = [call.arguments["training_datasets"]]
    return plain(call.arguments)


def test_twins_have_the_same_evaluator(twins, monkeypatch):
    cfg, lazy = twins.cfg.clone(), copy.deepcopy(twins.lazy)
    # Not the defaults of the evaluator: they have to be passed on.
    cfg.MODEL.EQL.FREQUENCY_THRESHOLDS = lazy.train.eql.frequency_thresholds = (3, 7)
    cfg.MODEL.EQL.SEM_SEG.GROUP_BY, cfg.MODEL.EQL.SEM_SEG.GROUP_THRESHOLDS = "images", (3, 7)
    lazy.train.eql.sem_seg_groups = ("images", (3, 7))
    monkeypatch.setattr("eql_d2.engine.defaults.build_evaluator", evaluator_arguments)
    (name,) = cfg.DATASETS.TEST
    node = dict(lazy.dataloader.evaluator)
    assert node.pop("_target_") is build_evaluator
    assert evaluator_arguments(**node) == Trainer.build_evaluator(cfg, name)


@pytest.fixture(params=LAZY_ONLY)
def lazy_only(request):
    return LazyConfig.load(str(CONFIGS / request.param))


@pytest.mark.filterwarnings("ignore:This DataLoader will create", "ignore:Importing from timm")
def test_a_config_without_a_twin_builds_all_of_itself(lazy_only, monkeypatch):
    monkeypatch.setattr(DatasetCatalog, "get", records_of)
    monkeypatch.setattr("detectron2.data.build.print_instances_class_histogram", lambda *_: None)
    model = build_lazy_model(lazy_only)
    node = copy.deepcopy(lazy_only.optimizer)
    node.params.model = model
    assert (
        optimizer_settings(instantiate(node), model)[2].keys()
        == dict(model.named_parameters()).keys()
    )
    rate = instantiate(lazy_only.lr_multiplier)
    assert rate(0.5) == 1 and rate(1 - 1e-9) == pytest.approx(0.01)
    loader = lazy_only.dataloader
    train = loader_settings(instantiate(loader.train))
    assert train["mapper"]["image_format"] == model.input_format == "RGB"
    assert loader_settings(instantiate(loader.test))["mapper"]["image_format"] == "RGB"
    assert loader.evaluator.dataset_name == "lvis_v1_val"
    EQLSettings.from_lazy(lazy_only)


@pytest.mark.parametrize("name", ["mask_rcnn_ViTDet_B_100e", "cascade_mask_rcnn_Swin_B_50e"])
@pytest.mark.filterwarnings("ignore:Importing from timm")
def test_eqlv2_differs_from_the_federated_loss_by_the_box_predictor_only(name):
    configs = [
        LazyConfig.load(str(CONFIGS / f"LVISv1-InstanceSegmentation/{name}_{loss}.py"))
        for loss in ("eqlv2", "federated")
    ]
    settings = []
    for cfg in configs:
        found = model_settings(build_lazy_model(cfg))
        names = found.pop("saved")
        settings.append({key: value for key, value in found.items() if "box_predictor" not in key})
        settings[-1]["saved"] = [name for name in names if "loss_cls" not in name]
        settings[-1] |= {key: plain(cfg[key]) for key in ("train", "optimizer", "dataloader")}
    assert settings[0] == settings[1]


LEAVES = YAML + [p.with_suffix(".py") for p in TWINS if p.parent.name != "quick_schedules"]
LEAVES += [CONFIGS / path for path in LAZY_ONLY]


@pytest.mark.parametrize("path", LEAVES, ids=lambda path: str(path.relative_to(CONFIGS)))
def test_a_leaf_is_short(path):
    assert len(path.read_text().splitlines()) <= 15


def test_eqlv2_differs_from_softmax_by_its_loss_only():
    folder = CONFIGS / "LVISv1-InstanceSegmentation"
    softmax, eqlv2 = (
        load_yaml(folder / f"mask_rcnn_R_50_FPN_1x_{k}.yaml") for k in ("softmax", "eqlv2")
    )
    softmax.MODEL.EQL.LOSS = "EQLv2"
    assert softmax == eqlv2

"""Every config builds, and the .yaml and the .py of one stem are the same experiment."""

from pathlib import Path

import pytest
from detectron2.config import LazyConfig, get_cfg, instantiate
from detectron2.modeling import build_model
from detectron2.modeling.matcher import Matcher
from detectron2.solver import build_optimizer
from omegaconf import ListConfig, OmegaConf

from eql_d2 import add_eql_config
from eql_d2.data import build_classification_transform, build_mapper
from eql_d2.engine import Trainer

CONFIGS = Path(__file__).parents[1] / "configs"
YAML = sorted(p for p in CONFIGS.rglob("*.yaml") if not p.name.startswith("Base"))
TWINS = [p for p in YAML if p.with_suffix(".py").exists()]
# The yaml path names heads of ours, the LazyConfig names the predictor itself.
SAME_HEAD = {"EQLROIHeads": "StandardROIHeads", "EQLCascadeROIHeads": "CascadeROIHeads"}
SEQUENCES = (tuple, list, ListConfig)


def name_of(path):
    return str(path.relative_to(CONFIGS).with_suffix(""))


def load_yaml(path):
    cfg = get_cfg()
    add_eql_config(cfg)
    cfg.merge_from_file(str(path), allow_unsafe=False)
    cfg.MODEL.DEVICE = "cpu"
    return cfg


def is_plain(value):
    if isinstance(value, SEQUENCES):
        return all(is_plain(v) for v in value)
    return value is None or isinstance(value, (bool, int, float, str))


def as_lists(value):
    return [as_lists(v) for v in value] if isinstance(value, SEQUENCES) else value


def settings(model):
    """Every plain value that a module of the model, or an object it holds, is set to."""
    found = {}
    for path, module in model.named_modules():
        kind = type(module).__name__
        found[path] = SAME_HEAD.get(kind, kind)
        for name, value in vars(module).items():
            if name.startswith("_") or name == "vis_period":
                continue
            if is_plain(value):
                found[f"{path}.{name}"] = as_lists(value)
                continue
            for i, held in enumerate(value if isinstance(value, SEQUENCES) else [value]):
                if hasattr(held, "__dict__") and not callable(held) or isinstance(held, Matcher):
                    found.update(
                        (f"{path}.{name}.{i}.{inner}", as_lists(inner_value))
                        for inner, inner_value in vars(held).items()
                        if is_plain(inner_value)
                    )
    return found


def learning_rates(multiplier, lr, max_iter):
    return [lr * multiplier(i / max_iter) for i in range(0, max_iter, max(1, max_iter // 100))]


def yaml_learning_rates(scheduler, lr, max_iter):
    if hasattr(scheduler, "_multiplier"):
        return learning_rates(scheduler._multiplier, lr, max_iter)
    rates = []
    for scheduler.last_epoch in range(0, max_iter, max(1, max_iter // 100)):
        rates.append(scheduler.get_lr()[0])
    return rates


def groups(optimizer):
    return [
        (tuple(p.shape), group["weight_decay"], group["momentum"], group["nesterov"])
        for group in optimizer.param_groups
        for p in group["params"]
    ]


def same_detection_transforms(cfg, lazy):
    train, test = lazy.dataloader.train, lazy.dataloader.test
    resize = train.mapper.augmentations[0]
    assert tuple(resize.short_edge_length) == cfg.INPUT.MIN_SIZE_TRAIN
    assert resize.max_size == cfg.INPUT.MAX_SIZE_TRAIN
    assert test.mapper.augmentations[0].short_edge_length == cfg.INPUT.MIN_SIZE_TEST


def same_classification_transforms(cfg, lazy):
    assert lazy.dataloader.train.aspect_ratio_grouping == cfg.DATALOADER.ASPECT_RATIO_GROUPING
    for is_train, loader in ((True, lazy.dataloader.train), (False, lazy.dataloader.test)):
        mapper = instantiate(loader.mapper)
        assert mapper.image_format == cfg.INPUT.FORMAT
        assert repr(mapper.transform) == repr(build_classification_transform(cfg, is_train))


def same_sem_seg_transforms(cfg, lazy):
    for is_train, loader in ((True, lazy.dataloader.train), (False, lazy.dataloader.test)):
        ours, theirs = instantiate(loader.mapper), build_mapper(cfg, is_train)
        assert ours.image_format == theirs.image_format
        texts = [repr(mapper.augmentations) for mapper in (ours, theirs)]
        texts = [text.replace("(", "[").replace(",)", ")").replace(")", "]") for text in texts]
        assert texts[0] == texts[1]
        assert (ours.num_classes, ours.ignore_label) == (theirs.num_classes, theirs.ignore_label)


SAME_TRANSFORMS = {
    "ImageClassifier": same_classification_transforms,
    "SemanticSegmentor": same_sem_seg_transforms,
}


def test_only_the_demo_has_no_twins():
    assert {p.parent.name for p in YAML if p not in TWINS} == {"Demo"} and len(TWINS) == 52


@pytest.mark.parametrize("path", [p for p in YAML if p not in TWINS], ids=name_of)
def test_config_builds(path):
    assert build_model(load_yaml(path)).training


@pytest.mark.parametrize("path", TWINS, ids=name_of)
def test_twins_are_the_same_experiment(path):
    cfg, lazy = load_yaml(path), LazyConfig.load(str(path.with_suffix(".py")))
    model, lazy_model = build_model(cfg), instantiate(lazy.model)
    shapes, lazy_shapes = (
        {name: tuple(value.shape) for name, value in m.state_dict().items()}
        for m in (model, lazy_model)
    )
    assert lazy_shapes == shapes
    assert settings(lazy_model) == settings(model)

    lazy.optimizer.params.model = lazy_model
    optimizer, lazy_optimizer = build_optimizer(cfg, model), instantiate(lazy.optimizer)
    assert groups(lazy_optimizer) == groups(optimizer)
    clipping = cfg.SOLVER.CLIP_GRADIENTS.FULL_MODEL_NORM
    assert getattr(lazy_optimizer, "max_norm", 0) == clipping
    max_iter = cfg.SOLVER.MAX_ITER
    scheduler = Trainer.build_lr_scheduler(cfg, optimizer)
    assert learning_rates(instantiate(lazy.lr_multiplier), lazy.optimizer.lr, max_iter) == (
        pytest.approx(yaml_learning_rates(scheduler, cfg.SOLVER.BASE_LR, max_iter))
    )
    assert lazy.train.max_iter == max_iter
    assert lazy.train.init_checkpoint == cfg.MODEL.WEIGHTS
    assert lazy.train.amp.enabled == cfg.SOLVER.AMP.ENABLED
    assert lazy.train.checkpointer.period == cfg.SOLVER.CHECKPOINT_PERIOD
    assert lazy.train.eval_period == cfg.TEST.EVAL_PERIOD
    assert lazy.train.eql.log_period == cfg.MODEL.EQL.LOG_PERIOD
    assert lazy.train.eql.monitor == cfg.MODEL.EQL.MONITOR
    assert tuple(lazy.train.eql.frequency_thresholds) == cfg.MODEL.EQL.FREQUENCY_THRESHOLDS

    train, test = lazy.dataloader.train, lazy.dataloader.test
    assert (train.dataset.names,) == cfg.DATASETS.TRAIN
    assert (test.dataset.names,) == cfg.DATASETS.TEST
    assert train.total_batch_size == cfg.SOLVER.IMS_PER_BATCH
    SAME_TRANSFORMS.get(cfg.MODEL.META_ARCHITECTURE, same_detection_transforms)(cfg, lazy)
    sampler = OmegaConf.select(train, "sampler")
    assert (sampler is not None) == (cfg.DATALOADER.SAMPLER_TRAIN == "RepeatFactorTrainingSampler")
    if sampler is not None:
        assert sampler.repeat_factors.repeat_thresh == cfg.DATALOADER.REPEAT_THRESHOLD


@pytest.mark.parametrize("path", [p for p in YAML if "EQLv2" in p.read_text()], ids=name_of)
def test_a_leaf_is_short(path):
    assert len(path.read_text().splitlines()) <= 15


def test_eqlv2_differs_from_softmax_by_its_loss_only():
    folder = CONFIGS / "LVISv1-InstanceSegmentation"
    softmax, eqlv2 = (
        load_yaml(folder / f"mask_rcnn_R_50_FPN_1x_{k}.yaml") for k in ("softmax", "eqlv2")
    )
    softmax.MODEL.EQL.LOSS = "EQLv2"
    assert softmax == eqlv2

"""The configs have the numbers of the official recipes, or a stated reason for another."""

import pytest
import torch
from detectron2.config import LazyConfig
from torch import nn

from eql_d2.data.samplers import CeilRepeatFactorTrainingSampler
from eql_d2.solver import ClippedSGD, build_lamb
from tests.config_twins import (
    CONFIGS,
    LAZY_ONLY,
    build_lazy_model,
    build_yaml_model,
    load_yaml,
)
from tests.recipes import EPOCHS, ITERATIONS, RECIPES, Deviation

FORMS = [
    (recipe, form)
    for recipe in RECIPES
    for form in (("lazy",) if f"{recipe.config}.py" in LAZY_ONLY else ("yaml", "lazy"))
]
OPTIMIZERS = {
    torch.optim.SGD: "SGD",
    ClippedSGD: "SGD",
    build_lamb: "LAMB",
    torch.optim.AdamW: "AdamW",
}


def model_settings_of(model) -> dict[str, object]:
    """What the model that was built is set to; both forms of a config build the same classes."""
    if hasattr(model, "roi_heads"):
        head = model.roi_heads.box_predictor
        head = head[0] if isinstance(head, nn.ModuleList) else head
        anchors, classes = model.proposal_generator.anchor_generator, model.roi_heads.num_classes
        test = head.test_score_thresh, head.test_topk_per_image
    elif hasattr(model, "anchor_generator"):
        head = model
        anchors, classes = model.anchor_generator, model.num_classes
        test = model.test_score_thresh, model.max_detections_per_image
    else:
        head, anchors, classes, test = model, None, model.classifier.num_classes, (None, None)
    loss = getattr(head, "loss_cls", None)
    return {
        "anchors_per_location": None if anchors is None else max(anchors.num_anchors),
        "num_classes": classes,
        "score_threshold": test[0],
        "detections_per_image": test[1],
        "federated_classes": getattr(head, "fed_loss_num_classes", None),
        "loss": None if loss is None else type(loss).__name__,
        "temperature": getattr(getattr(model, "classifier", None), "temperature", None),
        **{
            f"loss.{name}": value
            for name, value in vars(loss or nn.Module()).items()
            if not name.startswith("_")
        },
    }


def settings_of_yaml(cfg) -> dict[str, object]:
    solver, data = cfg.SOLVER, cfg.DATALOADER
    in_epochs, is_cosine = bool(solver.EPOCHS), "Cosine" in solver.LR_SCHEDULER_NAME
    unit = EPOCHS if in_epochs else ITERATIONS
    steps = solver.EPOCH_STEPS if in_epochs else solver.STEPS
    warmup = (solver.WARMUP_EPOCHS, EPOCHS) if solver.WARMUP_EPOCHS else None
    has_rfs, clip = data.SAMPLER_TRAIN == "RepeatFactorTrainingSampler", solver.CLIP_GRADIENTS
    if clip.ENABLED:
        assert clip.CLIP_TYPE == "full_model"
    return {
        "images_per_step": solver.IMS_PER_BATCH,
        "optimizer": solver.OPTIMIZER,
        "lr": solver.BASE_LR,
        "momentum": solver.MOMENTUM,
        "nesterov": solver.NESTEROV,
        "weight_decay": solver.WEIGHT_DECAY,
        "length": (solver.EPOCHS if in_epochs else solver.MAX_ITER, unit),
        "steps": (() if is_cosine else tuple(steps), unit),
        "warmup": warmup or (solver.WARMUP_ITERS, ITERATIONS),
        "constant": (solver.CONSTANT_ITERS, ITERATIONS),
        "lr_end": solver.BASE_LR_END,
        "ema_decay": cfg.MODEL.EMA.DECAY,
        "warmup_factor": solver.WARMUP_FACTOR,
        "starts_after_warmup": solver.RESCALE_INTERVAL,
        "rfs_threshold": data.REPEAT_THRESHOLD if has_rfs else None,
        "rfs_rounding": data.REPEAT_ROUNDING if has_rfs else None,
        "input_format": cfg.INPUT.FORMAT,
        "short_sides": tuple(cfg.INPUT.MIN_SIZE_TRAIN),
        "longest_side": cfg.INPUT.MAX_SIZE_TRAIN,
        "longest_sides": tuple(cfg.INPUT.LONGEST_EDGE_TRAIN),
        "clip_norm": clip.CLIP_VALUE if clip.ENABLED else None,
        "crop_size": cfg.INPUT.CLASSIFICATION.CROP_SIZE,
        "resize_test": cfg.INPUT.CLASSIFICATION.RESIZE_TEST,
    }


def settings_of_lazy(cfg) -> dict[str, object]:
    train, loader, optimizer = cfg.train, cfg.dataloader.train, cfg.optimizer
    length, unit = (train.epochs, EPOCHS) if train.epochs else (train.max_iter, ITERATIONS)
    schedule = cfg.lr_multiplier.get("scheduler", {})  # none: cosine without warm-up
    warmup = round(cfg.lr_multiplier.get("warmup_length", 0) * length, 6)
    constant = round(cfg.lr_multiplier.get("constant_length", 0) * length, 6)
    sampler = loader.get("sampler")
    resize, *_, last = loader.mapper.get("augmentations", [{}, {}])
    crop = loader.mapper.get("transform", {"transforms": [{}]})["transforms"][0]
    test = cfg.dataloader.test.mapper.get("transform", {"transforms": [{}]})["transforms"][0]
    return {
        "images_per_step": loader.total_batch_size,
        "optimizer": OPTIMIZERS[optimizer._target_],
        "lr": optimizer.lr,
        "momentum": optimizer.get("momentum"),
        "nesterov": optimizer.get("nesterov", False),
        "weight_decay": optimizer.weight_decay,
        "length": (length, unit),
        "steps": (tuple(schedule.get("milestones", ())), unit),
        "warmup": (warmup, unit),
        "constant": (constant, unit),
        "lr_end": optimizer.lr * cfg.lr_multiplier.get("end_value", 0),
        "ema_decay": train.model_ema.decay,
        "warmup_factor": cfg.lr_multiplier.get("warmup_factor"),
        "starts_after_warmup": cfg.lr_multiplier.get("rescale_interval", False),
        "amp": train.amp.enabled,
        "rfs_threshold": sampler and sampler.repeat_factors.repeat_thresh,
        "rfs_rounding": sampler
        and ("ceil" if sampler._target_ is CeilRepeatFactorTrainingSampler else "stochastic"),
        "input_format": loader.mapper.image_format,
        "short_sides": tuple(resize.get("short_edge_length", ())),
        "longest_side": resize.get("max_size"),
        "longest_sides": tuple(last.get("lengths", ())),
        "clip_norm": optimizer.get("max_norm"),
        "crop_size": crop.get("size"),
        "resize_test": test.get("size"),
    }


def settings_of(recipe, form) -> dict[str, object]:
    """All settings of the config of a recipe, in its ``yaml`` or ``lazy`` form."""
    if form == "yaml":
        cfg = load_yaml(CONFIGS / f"{recipe.config}.yaml")
        found = {**settings_of_yaml(cfg), **model_settings_of(build_yaml_model(cfg))}
    else:
        cfg = LazyConfig.load(str(CONFIGS / f"{recipe.config}.py"))
        found = {**settings_of_lazy(cfg), **model_settings_of(build_lazy_model(cfg))}
    found["lr_per_image"] = found["lr"] / found["images_per_step"]
    return found


def in_iterations(quantity, num_images, batch_size):
    """Epochs, or a tuple of them, as iterations; iterations stay what they are."""
    value, unit = quantity
    if unit == ITERATIONS:
        return quantity
    if isinstance(value, tuple):
        return tuple(round(epochs * num_images / batch_size) for epochs in value), ITERATIONS
    return round(value * num_images / batch_size), ITERATIONS


def is_the_same(value, other) -> bool:
    if isinstance(value, float) or isinstance(other, float):
        return other is not None and value == pytest.approx(other, rel=1e-9)
    return value == other


def expected(recipe, batch_size) -> dict[str, object]:
    """The official values in the units of the config."""
    values = dict(recipe.official)
    if recipe.epoch_images is not None:
        for name in {"length", "steps", "warmup", "constant"} & values.keys():
            values[name] = in_iterations(values[name], recipe.epoch_images.count, batch_size)
    return values


@pytest.fixture(scope="module", params=FORMS, ids=lambda form: f"{form[0].config}-{form[1]}")
def recipe_and_form(request):
    return request.param


@pytest.fixture(scope="module")
def recipe(recipe_and_form):
    return recipe_and_form[0]


@pytest.fixture(scope="module")
def found(recipe_and_form):
    return settings_of(*recipe_and_form)


def test_a_config_has_the_numbers_of_its_official_recipe(recipe, found):
    official = expected(recipe, found["images_per_step"])
    ours = {name: deviation.ours for name, deviation in recipe.deviations.items()}
    wrong = {
        name: (found[name], value)
        for name, value in {**official, **ours}.items()
        if not is_the_same(found[name], value)
    }
    assert not wrong, f"(config, row) of {recipe.config}; official: {recipe.source}"


def test_a_deviation_is_one_and_says_why(recipe, found):
    official = expected(recipe, found["images_per_step"])
    for name, deviation in recipe.deviations.items():
        assert isinstance(deviation, Deviation) and deviation.reason
        assert not is_the_same(found[name], official[name]), f"{name} deviates no longer: remove it"


def test_images_of_an_epoch_are_given_where_iterations_stand_for_epochs(recipe, found):
    is_in_epochs = recipe.official["length"][1] == EPOCHS
    needs_them = is_in_epochs and found["length"][1] == ITERATIONS
    assert (recipe.epoch_images is not None) == needs_them
    assert recipe.epoch_images is None or recipe.epoch_images.reason


def test_a_row_names_its_repository_and_files(recipe):
    for part in recipe.source.split("; "):
        repository, files = part.split(": ")
        assert len(repository.split("/")) == 2
        assert all("." in file.rsplit("/", 1)[-1] for file in files.split(", "))


def test_a_number_that_is_not_the_official_one_is_found():
    wrong = RECIPES[0]
    found = {**settings_of(wrong, "yaml"), "longest_side": 1334}
    with pytest.raises(AssertionError, match="official"):
        test_a_config_has_the_numbers_of_its_official_recipe(wrong, found)


def test_a_deviation_that_is_none_any_more_is_found():
    recipe = next(recipe for recipe in RECIPES if recipe.deviations)
    found = {**settings_of(recipe, "yaml"), "input_format": recipe.official["input_format"]}
    with pytest.raises(AssertionError, match="deviates no longer"):
        test_a_deviation_is_one_and_says_why(recipe, found)

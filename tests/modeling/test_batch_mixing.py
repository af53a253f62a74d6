"""mixup and CutMix by their keys."""

import pytest
import torch
import torch.nn.functional as F
from detectron2.config import LazyCall, LazyConfig, instantiate
from detectron2.modeling import build_model
from detectron2.utils.env import seed_all_rng
from detectron2.utils.events import EventStorage

from eql_d2 import InputError
from eql_d2.data import build_batch_mixing
from eql_d2.engine import Trainer
from eql_d2.modeling import ImageClassifier
from tests.config_twins import CONFIGS, build_yaml_model, load_yaml, model_settings, without_weights

STEM = CONFIGS / "quick_schedules/classification_R_18_instant_softmax_eql"
MIXED = {"MIXUP": (0.2, 0.0), "CUTMIX": (0.0, 1.0), "both": (0.2, 1.0)}


def make_cfg(mixup, cutmix, loss="SoftmaxEQL"):
    cfg = load_yaml(STEM.with_suffix(".yaml"))
    cfg.MODEL.DEVICE, cfg.MODEL.WEIGHTS, cfg.MODEL.EQL.LOSS = "cpu", "", loss
    cfg.MODEL.CLASSIFIER.NUM_CLASSES = 3
    cfg.INPUT.CLASSIFICATION.MIXUP, cfg.INPUT.CLASSIFICATION.CUTMIX = mixup, cutmix
    return cfg


def make_batch():
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8, generator=generator)
    return [{"image": image, "label": label} for image, label in zip(images, (0, 1, 2, 1))]


def targets_of(model, seed):
    """What the loss is called with in a training step."""
    seen = []
    model.loss_cls.register_forward_pre_hook(lambda _, args: seen.append(args[1]))
    torch.manual_seed(seed)
    with EventStorage():
        loss = model(make_batch())["loss_cls"]
    return loss, *seen


@pytest.mark.parametrize("alphas", MIXED.values(), ids=MIXED)
@pytest.mark.parametrize("loss", ["SoftmaxEQL", "SoftmaxCE"])
def test_with_a_key_the_loss_sees_soft_labels_of_the_mixed_images(alphas, loss):
    model = build_model(make_cfg(*alphas, loss=loss))
    hard = torch.tensor([0, 1, 2, 1])
    value, targets = targets_of(model, seed=3)
    assert targets.shape == (4, 3) and targets.is_floating_point()
    torch.testing.assert_close(targets.sum(1), torch.ones(4))
    assert ((targets > 0).sum(1) == 2).all()  # of an image and the one before it
    torch.manual_seed(3)
    images, expected = build_batch_mixing(*alphas, 3)(model.preprocess_images(make_batch()), hard)
    assert torch.equal(targets, expected)
    torch.testing.assert_close(value, F.cross_entropy(model.logits(images), targets))


def test_zeros_are_to_the_last_bit_the_training_without_keys():
    """Two steps, weights and random numbers."""
    states = []
    for has_keys in (True, False):
        cfg = make_cfg(0.0, 0.0)
        seed_all_rng(5)
        arguments = ImageClassifier.from_config(cfg)
        if not has_keys:
            del arguments["batch_transform"]
        model = ImageClassifier(**arguments)
        optimizer = Trainer.build_optimizer(cfg, model)
        for _ in range(2):
            optimizer.zero_grad()
            with EventStorage():
                model(make_batch())["loss_cls"].backward()
            optimizer.step()
        states.append({**model.state_dict(), "random": torch.get_rng_state()})
    assert all(torch.equal(states[1][name], value) for name, value in states[0].items())


def test_with_both_keys_each_batch_has_one_of_the_two():
    mixing = build_batch_mixing(1.0, 1.0, 4)
    images = torch.arange(4.0)[:, None, None, None].expand(4, 3, 8, 8)
    kinds = set()
    for seed in range(20):
        torch.manual_seed(seed)
        mixed, _ = mixing(images, torch.arange(4))
        kinds.add(bool((mixed == mixed.round()).all()))  # CutMix leaves pixels whole
    assert kinds == {True, False}


@pytest.mark.parametrize("alphas", [(0.0, 0.0), *MIXED.values()], ids=["none", *MIXED])
def test_yaml_and_lazy_are_twins(alphas):
    cfg, lazy = make_cfg(*alphas), LazyConfig.load(str(STEM.with_suffix(".py")))
    lazy.model.classifier.num_classes = 3
    if any(alphas):
        lazy.model.batch_transform = LazyCall(build_batch_mixing)(
            mixup_alpha=alphas[0],
            cutmix_alpha=alphas[1],
            num_classes="${..classifier.num_classes}",
        )
    settings = model_settings(build_yaml_model(cfg))
    assert model_settings(without_weights(instantiate, lazy.model)) == settings


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mixup": -0.1}, "INPUT.CLASSIFICATION.MIXUP is -0.1: give the alpha"),
        ({"cutmix": float("nan")}, "INPUT.CLASSIFICATION.CUTMIX is nan"),
        ({"mixup": float("inf")}, "INPUT.CLASSIFICATION.MIXUP is inf"),
        ({"mixup": 0.2, "loss": "EQLv2"}, "EQLv2 takes no soft labels, which mixup and CutMix"),
        ({"cutmix": 1.0, "loss": "SeesawLoss"}, "SeesawLoss takes no soft labels"),
    ],
)
def test_bad_keys_get_one_line_before_training(change, message):
    with pytest.raises(InputError, match=message) as error:
        build_model(make_cfg(**{"mixup": 0.0, "cutmix": 0.0, **change}))
    assert "\n" not in str(error.value)

import math

import pytest
import torch
import torch.nn.functional as F
from detectron2.data import DatasetCatalog
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_model
from detectron2.modeling.meta_arch.semantic_seg import SemSegFPNHead
from detectron2.projects.deeplab import DeepLabV3PlusHead
from detectron2.utils.env import seed_all_rng

from eql_d2 import (
    EQLDeepLabV3PlusHead,
    EQLSemSegFPNHead,
    EQLv2,
    InputError,
    SoftmaxCE,
    SoftmaxEQL,
)
from eql_d2.checkpoint import EQLCheckpointer
from eql_d2.data import register_mask_folder
from eql_d2.engine import Trainer
from eql_d2.tasks import build_mapper
from tests.data.label_map_folders import CLASSES, as_semantic_fpn, make_mask_folder

C = len(CLASSES)
SHAPES = {"p2": ShapeSpec(channels=8, stride=4), "p3": ShapeSpec(channels=8, stride=8)}
FPN_ARGUMENTS = dict(num_classes=C, conv_dims=8, common_stride=4, norm="", ignore_value=255)
DEEPLAB_ARGUMENTS = dict(
    num_classes=C,
    project_channels=[4],
    aspp_dilations=[1, 2, 3],
    aspp_dropout=0.0,
    decoder_channels=[8, 8],
    common_stride=4,
    norm="",
    train_size=None,
    loss_type="cross_entropy",
    ignore_value=255,
)
HEADS = [
    (EQLSemSegFPNHead, SemSegFPNHead, FPN_ARGUMENTS),
    (EQLDeepLabV3PlusHead, DeepLabV3PlusHead, DEEPLAB_ARGUMENTS),
]


def features(batch_size=2):
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.randn(
            batch_size, 8, 64 // shape.stride, 64 // shape.stride, generator=generator
        )
        for name, shape in SHAPES.items()
    }


def labels(batch_size=2):
    generator = torch.Generator().manual_seed(1)
    targets = torch.randint(C, (batch_size, 64, 64), generator=generator)
    targets[:, :20] = 255
    return targets


@pytest.mark.parametrize("head_class, plain_class, arguments", HEADS, ids=["fpn", "deeplab"])
@pytest.mark.parametrize("loss", [SoftmaxCE(C), SoftmaxEQL(C, tau=0.0)], ids=["softmax", "tau 0"])
def test_baseline_and_limit_are_detectron2s_own_head(head_class, plain_class, arguments, loss):
    head, plain = head_class(SHAPES, loss_cls=loss, **arguments), plain_class(SHAPES, **arguments)
    missing = plain.load_state_dict(head.state_dict(), strict=False)
    assert not missing.missing_keys and all("loss_cls" in key for key in missing.unexpected_keys)
    (_, ours), (_, theirs) = head(features(), labels()), plain(features(), labels())
    torch.testing.assert_close(ours["loss_sem_seg"], theirs["loss_sem_seg"])
    gradients = [
        torch.autograd.grad(losses["loss_sem_seg"], module.predictor.weight)
        for losses, module in ((ours, head), (theirs, plain))
    ]
    torch.testing.assert_close(*gradients)
    head.eval(), plain.eval()
    assert torch.equal(head(features())[0], plain(features())[0])


@pytest.mark.parametrize("head_class, plain_class, arguments", HEADS, ids=["fpn", "deeplab"])
def test_ignored_pixels_cost_nothing_and_count_nothing(head_class, plain_class, arguments):
    head = head_class(SHAPES, loss_cls=SoftmaxEQL(C), **arguments)
    logits = torch.randn(1, C, 16, 16, requires_grad=True)
    targets = labels(1)
    value = head.losses(logits, targets)["loss_sem_seg"]
    upsampled = F.interpolate(logits, scale_factor=4, mode="bilinear", align_corners=False)
    torch.testing.assert_close(
        value, F.cross_entropy(upsampled[:, :, 20:].double(), targets[:, 20:]).float()
    )
    labelled = 44 * 64
    mean_miss = (1 - upsampled.softmax(1)).gather(1, targets[:, None].clamp(max=C - 1))[:, :, 20:]
    expected = mean_miss.sum() / labelled
    torch.testing.assert_close(head.loss_cls.statistics.pos_grad.sum().float(), expected)


def test_all_ignored_batch_has_zero_loss_and_gradient():
    head = EQLSemSegFPNHead(SHAPES, loss_cls=SoftmaxEQL(C), **FPN_ARGUMENTS)
    _, losses = head(features(), torch.full((2, 64, 64), 255))
    losses["loss_sem_seg"].backward()
    assert losses["loss_sem_seg"] == 0 and head.predictor.weight.grad.abs().sum() == 0


def test_bias_starts_at_the_prior_of_a_sigmoid_loss():
    head = EQLSemSegFPNHead(SHAPES, loss_cls=EQLv2(C), **FPN_ARGUMENTS)
    torch.testing.assert_close(head.predictor.bias, torch.full((C,), -math.log(999)))


def test_unfit_losses_are_refused():
    with pytest.raises(InputError, match="SoftmaxEQL is for 7 classes but the head has 5"):
        EQLSemSegFPNHead(SHAPES, loss_cls=SoftmaxEQL(7), **FPN_ARGUMENTS)
    arguments = DEEPLAB_ARGUMENTS | {"loss_type": "hard_pixel_mining"}
    with pytest.raises(InputError, match="LOSS_TYPE is 'hard_pixel_mining'"):
        EQLDeepLabV3PlusHead(SHAPES, loss_cls=SoftmaxEQL(C), **arguments)


@pytest.mark.parametrize("head_class, plain_class, arguments", HEADS, ids=["fpn", "deeplab"])
def test_bf16_autocast_trains_as_float32(head_class, plain_class, arguments):
    torch.manual_seed(0)
    head = head_class(SHAPES, loss_cls=SoftmaxEQL(C), **arguments)
    found = []
    for enabled in (False, True):
        head.loss_cls.statistics.reset()
        for _ in range(2):
            head.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
                _, losses = head(features(), labels())
            losses["loss_sem_seg"].backward()
        gradient = head.predictor.weight.grad
        statistics = head.loss_cls.statistics.pos_grad.clone()
        found.append((losses["loss_sem_seg"].detach(), statistics, gradient / gradient.abs().max()))
    # Measured: 2e-4, 1.1e-3, and 6.3e-3 of the largest
    torch.testing.assert_close(found[1], found[0], rtol=0.01, atol=0.02)
    torch.testing.assert_close(found[1][:2], found[0][:2], rtol=0.01, atol=0)


@pytest.mark.parametrize("size", [(253, 160), (61, 77), (8, 9)])
@pytest.mark.parametrize("head", ["EQLSemSegFPNHead", "EQLDeepLabV3PlusHead"])
def test_r_images_of_any_size_train_and_are_segmented(sem_seg_cfg, head, size):
    """On a ResNet without FPN, which has no size divisibility: sides are no multiples of 8, nor of
    the crop, by whose size Detectron2's DeepLab pools."""
    assert sem_seg_cfg.INPUT.CROP.ENABLED
    sem_seg_cfg.MODEL.SEM_SEG_HEAD.NAME = head
    sem_seg_cfg.MODEL.SEM_SEG_HEAD.ASPP_CHANNELS = 8
    sem_seg_cfg.MODEL.BACKBONE.NAME = "build_resnet_backbone"
    sem_seg_cfg.MODEL.RESNETS.OUT_FEATURES = ["res2", "res3"]
    sem_seg_cfg.MODEL.SEM_SEG_HEAD.IN_FEATURES = ["res2", "res3"]
    model = build_model(sem_seg_cfg)
    assert model.backbone.size_divisibility == 0
    other = (size[0] - 3, size[1] + 5)  # and images of a batch may differ
    batch = [
        {"image": 255 * torch.rand(3, *shape), "sem_seg": torch.randint(C, shape)}
        for shape in (size, other)
    ]
    model(batch)["loss_sem_seg"].backward()
    assert model.sem_seg_head.predictor.weight.grad.abs().sum() > 0
    model.eval()
    with torch.no_grad():
        outputs = model([{**entry, "height": 50, "width": 40} for entry in batch])
    assert all(output["sem_seg"].shape == (C, 50, 40) for output in outputs)


def test_r_padding_does_not_change_images_that_fit(sem_seg_cfg):
    sem_seg_cfg.MODEL.SEM_SEG_HEAD.IN_FEATURES = ["p2", "p3"]
    head = build_model(sem_seg_cfg).sem_seg_head.eval()
    maps = {name: torch.rand(1, 16, 64 // s, 96 // s) for name, s in (("p2", 4), ("p3", 8))}
    assert torch.equal(head.layers(maps), SemSegFPNHead.layers(head, maps))


@pytest.fixture
def sem_seg_cfg(tiny_cfg, tmp_path, no_datasets_left):
    as_semantic_fpn(tiny_cfg)
    for i, split in enumerate(("train", "val")):
        register_mask_folder(
            f"tiny_{split}", *make_mask_folder(tmp_path / f"scenes_{split}", seed=i)
        )
    tiny_cfg.SOLVER.BASE_LR = 0.001
    return tiny_cfg


class SameBatchesTrainer(Trainer):
    """Step i always gets batch i and random numbers i: Detectron2 resumes neither."""

    def run_step(self):
        mapper = build_mapper(self.cfg, is_train=True)
        seed_all_rng(self.iter + 1)
        records = DatasetCatalog.get("tiny_train")
        batch = [mapper(records[(2 * self.iter + k) % len(records)]) for k in range(2)]
        self._trainer._data_loader_iter_obj = iter([batch])
        super().run_step()


def trained(cfg, stop, resume):
    seed_all_rng(100 + stop)  # another start each time: what matters must come from the checkpoint
    trainer = SameBatchesTrainer(cfg)
    trainer.resume_or_load(resume=resume)
    trainer.max_iter = stop
    trainer.train()
    return {name: value.clone() for name, value in trainer.model.state_dict().items()}


@pytest.mark.slow
def test_resume_equals_the_uninterrupted_run_to_the_last_bit(sem_seg_cfg, tmp_path):
    sem_seg_cfg.SOLVER.MAX_ITER, sem_seg_cfg.DATASETS.TEST = 6, ()
    initial = build_model(sem_seg_cfg).state_dict()
    torch.save({"model": initial}, tmp_path / "initial.pth")
    sem_seg_cfg.MODEL.WEIGHTS = str(tmp_path / "initial.pth")
    whole, halves = sem_seg_cfg.clone(), sem_seg_cfg.clone()
    whole.OUTPUT_DIR, halves.OUTPUT_DIR = str(tmp_path / "whole"), str(tmp_path / "halves")
    expected = trained(whole, 6, resume=False)
    first = trained(halves, 3, resume=False)
    second = trained(halves, 6, resume=True)
    for name, value in expected.items():
        assert torch.equal(second[name], value), name
    name = "sem_seg_head.loss_cls.statistics.pos_grad"
    assert expected[name].sum() > first[name].sum() > 0


def test_trains_and_evaluates_by_group(sem_seg_cfg):
    trainer = Trainer(sem_seg_cfg)
    trainer.train()
    found = trainer._last_eval_results["sem_seg"].keys()
    assert {"mIoU", "mIoU_head", "mIoU_common", "mIoU_tail"} <= found


def test_plain_detectron2_checkpoint_evaluates_the_same(sem_seg_cfg, tmp_path, caplog):
    plain_cfg = sem_seg_cfg.clone()
    plain_cfg.MODEL.SEM_SEG_HEAD.NAME = "SemSegFPNHead"
    plain = build_model(plain_cfg).eval()
    torch.save({"model": plain.state_dict()}, tmp_path / "plain.pth")
    model = Trainer.build_model(sem_seg_cfg).eval()
    caplog.clear()
    EQLCheckpointer(model).load(str(tmp_path / "plain.pth"))
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
    image = [{"image": 255 * torch.rand(3, 64, 96)}]
    with torch.no_grad():
        assert torch.equal(model(image)[0]["sem_seg"], plain(image)[0]["sem_seg"])


@pytest.mark.parametrize("loss", ["EQL", "SEQL"])
def test_a_losses_by_frequency_train_on_label_maps(sem_seg_cfg, loss):
    """The frequencies are shares of the training images that show a class."""
    sem_seg_cfg.MODEL.EQL.LOSS = loss
    sem_seg_cfg.SOLVER.MAX_ITER = 2
    trainer = Trainer(sem_seg_cfg)
    frequency = trainer.model.sem_seg_head.loss_cls.image_frequency
    assert frequency.tolist() == pytest.approx([6 / 6, 3 / 6, 2 / 6, 2 / 6, 2 / 6])
    trainer.train()
    assert "mIoU_tail" in trainer._last_eval_results["sem_seg"]


def test_a_eqfl_is_refused_with_a_sentence(sem_seg_cfg):
    sem_seg_cfg.MODEL.EQL.LOSS = "EQFL"
    with pytest.raises(InputError, match="EQFL needs the IoU of each box.*EFL for other heads"):
        build_model(sem_seg_cfg)


def test_model_of_other_classes_than_the_data_is_refused(sem_seg_cfg):
    sem_seg_cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = 9
    with pytest.raises(InputError, match="set MODEL.SEM_SEG_HEAD.NUM_CLASSES 5"):
        Trainer.build_model(sem_seg_cfg)

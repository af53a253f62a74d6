"""YOLOX-IP, size S, with its data and schedule: the twin of ../Base-YOLOX-IP.yaml."""

import detectron2.data.transforms as T
import torch
from detectron2.config import LazyCall as L
from detectron2.layers import ShapeSpec
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.modeling.box_regression import Box2BoxTransform

from eql_d2 import EQLYOLOXIP, YOLOPAFPN, ATSSAssigner, CSPDarknet, YOLOXHead
from eql_d2.data import build_mosaic_train_loader
from eql_d2.data.mosaic import MosaicMixup
from eql_d2.data.transforms import RandomHSV, ResizeLongestEdge
from eql_d2.solver import WarmupCosineConstantParamScheduler, get_optimizer_params

from .lvis import dataloader
from .train import train

model = L(EQLYOLOXIP)(
    backbone=L(YOLOPAFPN)(
        bottom_up=L(CSPDarknet)(depth="${..depth}", width=0.5), depth=0.33, shortcut=True
    ),
    head=L(YOLOXHead)(
        input_shape=[ShapeSpec(channels=channels) for channels in (128, 256, 512)],
        num_classes="${..num_classes}",
        num_anchors=2,
        channels=128,
    ),
    head_in_features=["p3", "p4", "p5"],
    anchor_generator=L(DefaultAnchorGenerator)(
        sizes=[[24, 32], [48, 64], [96, 128]],  # 3 and 4 times the stride
        aspect_ratios=[[1.0]],
        strides=[8, 16, 32],
        offset=0.0,
    ),
    anchor_matcher=L(ATSSAssigner)(),
    box2box_transform=L(Box2BoxTransform)(weights=(1.0, 1.0, 1.0, 1.0)),
    num_classes=80,
    smooth_l1_beta=0.1,  # without effect
    test_score_thresh=0.0,
    test_topk_candidates=1000,  # per level
    test_nms_thresh=0.65,
    max_detections_per_image=300,
    pixel_mean=[0.0, 0.0, 0.0],
    pixel_std=[1.0, 1.0, 1.0],
    input_format="BGR",
)

dataloader.train._target_ = build_mosaic_train_loader
dataloader.train.update(mosaic=L(MosaicMixup)(), max_iter="${train.max_iter}", total_batch_size=128)
dataloader.train.mapper.update(
    augmentations=[
        L(RandomHSV)(image_format="${...image_format}"),
        L(T.RandomFlip)(horizontal=True),
        L(ResizeLongestEdge)(lengths=tuple(range(480, 801, 32))),
    ],
    use_instance_mask=False,
)
dataloader.test.mapper.augmentations[0].update(short_edge_length=640, max_size=640)

train.model_ema.decay = 0.9998
train.average_norm = True
train.init_checkpoint = ""

optimizer = L(torch.optim.SGD)(
    params=L(get_optimizer_params)(
        weight_decay_norm=0.0,
        weight_decay_bias=0.0,
        weight_decay_overrides=[(r"head\.cls_preds\..*bias", 5e-4)],
    ),
    lr=0.04,
    momentum=0.9,
    nesterov=True,
    weight_decay=5e-4,
)


def schedule(max_iter, warmup_iters, constant_iters):
    """Quadratic warm-up, cosine to 5%, constant end; all in iterations."""
    return L(WarmupCosineConstantParamScheduler)(
        end_value=0.05,
        warmup_length=warmup_iters / max_iter,
        constant_length=constant_iters / max_iter,
    )

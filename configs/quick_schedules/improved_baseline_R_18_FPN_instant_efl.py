"""The twin of improved_baseline_R_18_FPN_instant_efl.yaml."""

from detectron2.config import LazyCall as L
from detectron2.layers import ShapeSpec

from eql_d2 import EFL

from ..common.improved_baseline import model, optimizer
from ..common.train import multi_step
from .mask_rcnn_R_18_FPN_instant_eqlv2 import dataloader, train

bottom_up = model.backbone.bottom_up
bottom_up.freeze_at = 0
bottom_up.stem.norm = "BN"
bottom_up.stages.update(depth=18, norm="BN")
del bottom_up.stages.stride_in_1x1  # basic blocks have no 1 x 1 convolution
model.backbone.out_channels = 64
model.head.update(input_shape=[ShapeSpec(channels=64)] * 5, conv_dims=[64] * 2)
model.anchor_generator.sizes = [[24, 32], [48, 64], [96, 128], [192, 256], [384, 512]]
model.test_topk_candidates = 500
model.loss_cls = L(EFL)(num_classes="${..num_classes}")

dataloader.train.mapper.use_instance_mask = False
dataloader.train.mapper.image_format = "RGB"
optimizer.lr = 0.0025
lr_multiplier = multi_step([15], train.max_iter, warmup_iters=10)

"""The twin of mask_rcnn_R_18_FPN_instant_eqlv2.yaml."""

from detectron2.config import LazyCall as L
from detectron2.layers import ShapeSpec

from eql_d2 import EQLv2

from ..common.lvis import dataloader
from ..common.mask_rcnn_fpn import model
from ..common.train import multi_step, optimizer, train

bottom_up = model.backbone.bottom_up
bottom_up.freeze_at = 0
bottom_up.stem.norm = "BN"
bottom_up.stages.update(depth=18, norm="BN")
del bottom_up.stages.stride_in_1x1  # basic blocks have no 1 x 1 convolution
model.backbone.out_channels = 64
model.proposal_generator.head.in_channels = 64
model.proposal_generator.anchor_generator.sizes = [[16], [32], [64], [128], [256]]
model.proposal_generator.update(pre_nms_topk=(500, 200), post_nms_topk=(200, 100))
model.roi_heads.batch_size_per_image = 64
model.roi_heads.box_head.update(
    input_shape=ShapeSpec(channels=64, height=7, width=7), fc_dims=[128, 128]
)
model.roi_heads.box_predictor.input_shape = ShapeSpec(channels=128)
model.roi_heads.box_predictor.loss_cls = L(EQLv2)(num_classes="${..num_classes}")
model.roi_heads.mask_head.update(
    input_shape=ShapeSpec(channels=64, height=14, width=14), conv_dims=[64] * 5
)

dataloader.train.dataset.names = "coco_2017_train"
dataloader.test.dataset.names = "coco_2017_val"
dataloader.train.mapper.augmentations[0].update(short_edge_length=(224,), max_size=320)
dataloader.test.mapper.augmentations[0].update(short_edge_length=224, max_size=320)
dataloader.train.update(total_batch_size=2, num_workers=0)
dataloader.test.num_workers = 0

train.update(init_checkpoint="", max_iter=20)
train.checkpointer.period = 10
train.eql.log_period = 10
optimizer.lr = 0.01
lr_multiplier = multi_step([15], train.max_iter, warmup_iters=10)

"""The twin of semantic_fpn_R_18_instant_softmax_eql.yaml."""

from detectron2.config import LazyCall as L

from eql_d2 import SoftmaxEQL

from ..common.sem_seg import dataloader, lr_multiplier, optimizer, train  # noqa: F401
from ..common.semantic_fpn import model

bottom_up = model.backbone.bottom_up
bottom_up.freeze_at = 0
bottom_up.stem.norm = "BN"
bottom_up.stages.update(depth=18, norm="BN")
del bottom_up.stages.stride_in_1x1  # basic blocks have no 1 x 1 convolution
model.backbone.out_channels = 64
for shape in model.sem_seg_head.input_shape.values():
    shape.channels = 64
model.sem_seg_head.update(num_classes=150, conv_dims=64)
model.sem_seg_head.loss_cls = L(SoftmaxEQL)(num_classes="${..num_classes}")

dataloader.train.mapper.augmentations[0].update(short_edge_length=(224,), max_size=320)
dataloader.train.mapper.augmentations[1].crop_size = (192, 192)
dataloader.test.mapper.augmentations[0].update(short_edge_length=224, max_size=320)
dataloader.train.update(total_batch_size=2, num_workers=0)
dataloader.test.num_workers = 0

train.update(init_checkpoint="", max_iter=20)
train.checkpointer.period = 10
train.eql.log_period = 10

"""The twin of yolox_ip_instant_eqfl.yaml."""

from detectron2.config import LazyCall as L
from detectron2.layers import ShapeSpec

from eql_d2 import EQFL

from ..common.yolox_ip import dataloader, model, optimizer, schedule, train

model.backbone.bottom_up.width = 0.25
shapes = [ShapeSpec(channels=channels) for channels in (64, 128, 256)]
model.head.update(input_shape=shapes, channels=64)
model.loss_cls = L(EQFL)(num_classes="${..num_classes}", scale=4.0)

dataloader.train.dataset.names = "coco_2017_train"
dataloader.test.dataset.names = "coco_2017_val"
dataloader.train.mosaic.size = 224
dataloader.train.mapper.augmentations[-1].lengths = (192, 224, 256)
dataloader.test.mapper.augmentations[0].update(short_edge_length=224, max_size=224)
dataloader.train.update(total_batch_size=2, num_workers=0)
dataloader.test.num_workers = 0

train.max_iter = 20
train.checkpointer.period = 10
train.eql.log_period = 10
train.model_ema.update(decay=0.9, warmup=5)
optimizer.lr = 0.005
lr_multiplier = schedule(train.max_iter, warmup_iters=5, constant_iters=1)

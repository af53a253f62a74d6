from detectron2.config import LazyCall as L

from eql_d2 import EFL

from ..common.improved_baseline import init_checkpoint, model, optimizer  # noqa: F401
from ..common.train import multi_step
from .base_openimages import dataloader, train

model.num_classes = 500
model.loss_cls = L(EFL)(num_classes="${..num_classes}")
dataloader.train.mapper.image_format = "RGB"
dataloader.train.mapper.augmentations[0].short_edge_length = (800,)
train.init_checkpoint = init_checkpoint
lr_multiplier = multi_step([120000, 160000], train.max_iter, warmup_iters=500)

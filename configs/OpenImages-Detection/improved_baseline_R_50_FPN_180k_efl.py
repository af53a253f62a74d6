from detectron2.config import LazyCall as L

from eql_d2 import EFL

from ..common.improved_baseline import init_checkpoint, model, optimizer  # noqa: F401
from .base_openimages import dataloader, lr_multiplier, train  # noqa: F401

model.num_classes = 500
model.loss_cls = L(EFL)(num_classes="${..num_classes}")
dataloader.train.mapper.image_format = "RGB"
train.init_checkpoint = init_checkpoint

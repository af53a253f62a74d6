from detectron2.config import LazyCall as L
from detectron2.layers import ShapeSpec

from eql_d2 import EFL

from .base_lvis_v1_yolox_ip import dataloader, lr_multiplier, model, optimizer, train  # noqa: F401

model.backbone.depth = 0.67
model.backbone.bottom_up.width = 0.75
shapes = [ShapeSpec(channels=c) for c in (192, 384, 768)]
model.head.update(input_shape=shapes, channels=192)
model.loss_cls = L(EFL)(num_classes="${..num_classes}", scale=4.0)

from detectron2.config import LazyCall as L

from eql_d2 import EQFL

from .base_lvis_v1_yolox_ip import dataloader, lr_multiplier, model, optimizer, train  # noqa: F401

model.loss_cls = L(EQFL)(num_classes="${..num_classes}", scale=4.0)

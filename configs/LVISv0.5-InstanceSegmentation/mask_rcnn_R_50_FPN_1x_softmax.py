from detectron2.config import LazyCall as L

from eql_d2 import SoftmaxCE

from .base_lvis_v0_5 import dataloader, lr_multiplier, model, optimizer, train  # noqa: F401

model.roi_heads.box_predictor.loss_cls = L(SoftmaxCE)(num_classes="${..num_classes}")

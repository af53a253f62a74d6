from detectron2.config import LazyCall as L

from eql_d2 import EQLv2

from ..common.cascade_mask_rcnn_fpn import model
from .base_lvis_v1 import dataloader, lr_multiplier, optimizer, train  # noqa: F401

model.roi_heads.num_classes = 1203
for _predictor in model.roi_heads.box_predictors:
    _predictor.loss_cls = L(EQLv2)(num_classes="${..num_classes}")

from detectron2.config import LazyCall as L

from eql_d2 import EQLv2

from .base_lvis_v1_swin import dataloader, lr_multiplier, model, optimizer, train  # noqa: F401

# Ours. The score threshold is that of EQL v2, 0.0001
for _predictor in model.roi_heads.box_predictors:
    _predictor.loss_cls = L(EQLv2)(num_classes="${..num_classes}")

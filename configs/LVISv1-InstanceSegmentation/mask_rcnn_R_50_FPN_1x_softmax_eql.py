from detectron2.config import LazyCall as L

from eql_d2 import SoftmaxEQL

from .base_lvis_v1 import dataloader, lr_multiplier, model, optimizer, train  # noqa: F401

# Ours: official code has Softmax-EQL for classification only, with the tau and epsilon used here
model.roi_heads.box_predictor.loss_cls = L(SoftmaxEQL)(num_classes="${..num_classes}")

from detectron2.config import LazyCall as L

from eql_d2 import SoftmaxEQL

from .base_lvis_v1 import dataloader, lr_multiplier, model, optimizer, repeat_factor_sampler, train  # noqa: F401

# Ours, as mask_rcnn_R_50_FPN_1x_softmax_eql: official code has Softmax-EQL for classification only
model.roi_heads.box_predictor.loss_cls = L(SoftmaxEQL)(num_classes="${..num_classes}")
dataloader.train.sampler = repeat_factor_sampler

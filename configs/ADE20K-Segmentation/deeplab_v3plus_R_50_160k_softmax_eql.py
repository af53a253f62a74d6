"""The twin of deeplab_v3plus_R_50_160k_softmax_eql.yaml."""

from detectron2.config import LazyCall as L

from eql_d2 import SoftmaxEQL

from .base_ade20k_deeplab_v3plus import dataloader, lr_multiplier, model, optimizer, train  # noqa: F401

model.sem_seg_head.loss_cls = L(SoftmaxEQL)(num_classes="${..num_classes}")

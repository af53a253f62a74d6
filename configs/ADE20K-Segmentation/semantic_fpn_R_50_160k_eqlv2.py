"""The twin of semantic_fpn_R_50_160k_eqlv2.yaml."""

from detectron2.config import LazyCall as L

from eql_d2 import EQLv2

from .base_ade20k_semantic_fpn import dataloader, lr_multiplier, model, optimizer, train  # noqa: F401

model.sem_seg_head.loss_cls = L(EQLv2)(num_classes="${..num_classes}")

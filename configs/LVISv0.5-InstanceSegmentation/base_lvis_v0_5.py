"""Mask R-CNN R50 on LVIS v0.5, 1x: the twin of Base-LVISv0.5.yaml."""

from ..common.lvis import dataloader
from ..common.mask_rcnn_fpn import model
from ..common.train import multi_step, optimizer, train  # noqa: F401

model.roi_heads.num_classes = 1230
dataloader.train.dataset.names = "lvis_v0.5_train"
dataloader.test.dataset.names = "lvis_v0.5_val"
lr_multiplier = multi_step([60000, 80000], train.max_iter)

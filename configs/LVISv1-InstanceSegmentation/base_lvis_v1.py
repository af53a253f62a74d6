"""Mask R-CNN R50 on LVIS v1, 1x: the twin of Base-LVISv1.yaml; the loss is left to the leaf."""

from eql_d2.data.samplers import CeilRepeatFactorTrainingSampler

from ..common.lvis import dataloader, repeat_factor_sampler  # noqa: F401
from ..common.mask_rcnn_fpn import model
from ..common.train import multi_step, optimizer, train  # noqa: F401

model.roi_heads.num_classes = 1203
train.max_iter = 75000
# Warm-up and rounding as mmdetection, with which EQL v2 trains
lr_multiplier = multi_step([50000, 68750], train.max_iter, warmup_iters=500)
repeat_factor_sampler._target_ = CeilRepeatFactorTrainingSampler

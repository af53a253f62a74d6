"""Improved baseline R50 on LVIS v1 with RFS, 2x: the twin of Base-LVISv1-ImprovedBaseline.yaml."""

from eql_d2.solver import ClippedSGD

from ..common.improved_baseline import model
from ..common.lvis import dataloader, repeat_factor_sampler
from ..common.train import multi_step, optimizer, train

model.num_classes = 1203
dataloader.train.mapper.use_instance_mask = False
dataloader.train.sampler = repeat_factor_sampler
optimizer._target_ = ClippedSGD
optimizer.max_norm = 35.0
train.max_iter = 150000
lr_multiplier = multi_step([100000, 137500], train.max_iter, warmup_iters=6250)

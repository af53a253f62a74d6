"""YOLOX-IP S on LVIS v1 with RFS: the twin of Base-LVISv1-YOLOX-IP.yaml."""

from eql_d2.data.samplers import CeilRepeatFactorTrainingSampler

from ..common.lvis import repeat_factor_sampler
from ..common.yolox_ip import dataloader, model, optimizer, schedule, train  # noqa: F401

model.num_classes = 1203
dataloader.train.sampler = repeat_factor_sampler
dataloader.train.sampler._target_ = CeilRepeatFactorTrainingSampler
train.max_iter = 234375
lr_multiplier = schedule(train.max_iter, warmup_iters=3906, constant_iters=11719)

"""Improved baseline R50 on LVIS v1 with RFS, 2x: the twin of Base-LVISv1-ImprovedBaseline.yaml."""

from eql_d2.data.samplers import CeilRepeatFactorTrainingSampler

from ..common.improved_baseline import init_checkpoint, model, optimizer  # noqa: F401
from ..common.lvis import dataloader, repeat_factor_sampler
from ..common.train import multi_step, train

model.num_classes = 1203
dataloader.train.mapper.use_instance_mask = False
dataloader.train.mapper.image_format = "RGB"
dataloader.train.sampler = repeat_factor_sampler
dataloader.train.sampler._target_ = CeilRepeatFactorTrainingSampler
train.update(init_checkpoint=init_checkpoint, epochs=24)
lr_multiplier = multi_step([16, 22], train.epochs, warmup_iters=1)  # all in epochs

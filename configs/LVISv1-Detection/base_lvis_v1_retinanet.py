"""RetinaNet R50 on LVIS v1 with RFS, 1x: the twin of Base-LVISv1-RetinaNet.yaml."""

from ..common.lvis import dataloader, repeat_factor_sampler
from ..common.retinanet import model
from ..common.train import multi_step, optimizer, train

model.num_classes = 1203
model.test_score_thresh = 0.0001
dataloader.train.mapper.use_instance_mask = False
dataloader.train.sampler = repeat_factor_sampler
optimizer.lr = 0.01
train.max_iter = 75000
lr_multiplier = multi_step([50000, 68750], train.max_iter)

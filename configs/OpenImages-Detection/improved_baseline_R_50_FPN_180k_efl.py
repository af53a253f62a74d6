from detectron2.config import LazyCall as L

from eql_d2 import EFL
from eql_d2.solver import ClippedSGD

from ..common.improved_baseline import model
from ..common.train import multi_step
from .base_openimages import dataloader, optimizer, train  # noqa: F401

model.num_classes = 500
model.loss_cls = L(EFL)(num_classes="${..num_classes}")
optimizer._target_ = ClippedSGD
optimizer.max_norm = 35.0
lr_multiplier = multi_step([120000, 160000], train.max_iter, warmup_iters=500)

from ..common.train import multi_step
from .mask_rcnn_R_50_FPN_1x_eqlv2 import dataloader, model, optimizer, train  # noqa: F401

# Official code has 1x only. 24 epochs of 100,000 images, steps after 16 and 22: those of the EFL
# configs
train.max_iter = 150000
lr_multiplier = multi_step([100000, 137500], train.max_iter, warmup_iters=500)

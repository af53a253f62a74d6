from ..common.train import multi_step
from .retinanet_R_50_FPN_1x_efl import dataloader, model, optimizer, train  # noqa: F401

train.max_iter = 150000  # 24 epochs, steps after 16 and 22
lr_multiplier = multi_step([100000, 137500], train.max_iter)

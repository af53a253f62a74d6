from ..common.lvis import repeat_factor_sampler
from .mask_rcnn_R_50_FPN_1x_eql import dataloader, lr_multiplier, model, optimizer, train  # noqa: F401

dataloader.train.sampler = repeat_factor_sampler
# Official EQL config with resampling
dataloader.train.sampler.repeat_factors.repeat_thresh = 0.0005

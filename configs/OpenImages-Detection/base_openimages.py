"""Faster R-CNN R50 on Open Images Challenge 2019: the twin of Base-OpenImages.yaml."""

from ..common.lvis import dataloader
from ..common.mask_rcnn_fpn import model
from ..common.train import multi_step, optimizer, train  # noqa: F401

model.roi_heads.num_classes = 500
for name in ("mask_in_features", "mask_pooler", "mask_head"):
    model.roi_heads.pop(name)
dataloader.train.dataset.names = "openimages_challenge_2019_train"
dataloader.test.dataset.names = "openimages_challenge_2019_val"
dataloader.train.mapper.use_instance_mask = False
# As the official EQL v2 config: scale 800 only, and this schedule
dataloader.train.mapper.augmentations[0].short_edge_length = (800,)
train.max_iter = 180000
lr_multiplier = multi_step([120000, 160000], train.max_iter, warmup_iters=500)

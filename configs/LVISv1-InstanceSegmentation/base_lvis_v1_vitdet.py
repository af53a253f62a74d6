"""Mask R-CNN ViTDet-B on LVIS v1, 100 epochs: data, schedule and optimizer of Detectron2's
projects/ViTDet/configs/LVIS/mask_rcnn_vitdet_b_100ep.py; the loss is left to the leaf."""

from functools import partial

from detectron2.modeling.backbone.vit import get_vit_lr_decay_rate

from ..common.adamw import optimizer, train
from ..common.lvis_lsj import dataloader  # noqa: F401
from ..common.train import multi_step
from ..common.vitdet import model

model.roi_heads.num_classes = 1203
# MAE's file. Offline: "<path>/mae_pretrain_vit_base.pth?matching_heuristics=True", which matches
# names by their ends
train.init_checkpoint = (
    "detectron2://ImageNetPretrained/MAE/mae_pretrain_vit_base.pth?matching_heuristics=True"
)
train.max_iter = 156250  # 100 epochs of 100,000 images
lr_multiplier = multi_step([138889, 150463], train.max_iter, warmup_iters=250)
optimizer.lr = 2e-4
optimizer.params.lr_factor_func = partial(get_vit_lr_decay_rate, num_layers=12, lr_decay_rate=0.7)
optimizer.params.overrides = {"pos_embed": {"weight_decay": 0.0}}

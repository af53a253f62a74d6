"""Cascade Mask R-CNN Swin-B on LVIS v1, 50 epochs: data, schedule and optimizer of Detectron2's
projects/ViTDet/configs/LVIS/cascade_mask_rcnn_swin_b_in21k_50ep.py; the loss is left to the
leaf."""

from ..common.adamw import optimizer, train
from ..common.lvis_lsj import dataloader  # noqa: F401
from ..common.swin import model
from ..common.train import multi_step

model.roi_heads.num_classes = 1203
model.backbone.bottom_up.drop_path_rate = 0.3
# Of ImageNet-22k. Offline: "<path>/swin_base_patch4_window7_224_22k.pth?matching_heuristics=True",
# the file of github.com/SwinTransformer/storage; the option matches names by their ends
train.init_checkpoint = (
    "detectron2://ImageNetPretrained/swin/swin_base_patch4_window7_224_22k.pth"
    "?matching_heuristics=True"
)
train.max_iter = 78125  # 50 epochs of 100,000 images
lr_multiplier = multi_step([69444, 75231], train.max_iter, warmup_iters=250)
optimizer.update(lr=1e-4, weight_decay=0.05)
optimizer.params.overrides = {"relative_position_bias_table": {"weight_decay": 0.0}}

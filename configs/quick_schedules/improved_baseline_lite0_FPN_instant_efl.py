"""The twin of improved_baseline_lite0_FPN_instant_efl.yaml."""

from detectron2.config import LazyCall as L
from detectron2.modeling import FPN
from detectron2.modeling.backbone.fpn import LastLevelP6P7

from .improved_baseline_R_18_FPN_instant_efl import lr_multiplier, model, optimizer  # noqa: F401
from .mask_rcnn_lite0_FPN_instant_eqlv2 import dataloader, train  # noqa: F401
from .mask_rcnn_lite0_FPN_instant_eqlv2 import model as mask_rcnn

model.backbone.bottom_up = mask_rcnn.backbone.bottom_up
model.backbone.in_features = ["res3", "res4", "res5"]
model.backbone._target_ = FPN
model.backbone.top_block = L(LastLevelP6P7)(in_channels=320, out_channels="${..out_channels}")
model.update(pixel_mean=[127.0] * 3, pixel_std=[128.0] * 3, input_format="RGB")

dataloader.train.mapper.use_instance_mask = False

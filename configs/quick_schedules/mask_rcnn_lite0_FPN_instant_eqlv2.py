"""The twin of mask_rcnn_lite0_FPN_instant_eqlv2.yaml."""

from detectron2.config import LazyCall as L

from eql_d2 import TimmBackbone

from .mask_rcnn_R_18_FPN_instant_eqlv2 import (  # noqa: F401
    dataloader,
    lr_multiplier,
    model,
    optimizer,
    train,
)

model.backbone.update(
    bottom_up=L(TimmBackbone)(
        name="tf_efficientnet_lite0",
        out_features=["res2", "res3", "res4", "res5"],
        norm="FrozenBN",
        freeze_at=2,
    ),
    norm="GN",  # without it the training diverges at 0.01
)
model.update(pixel_mean=[127.0] * 3, pixel_std=[128.0] * 3, input_format="RGB")

dataloader.train.mapper.image_format = "RGB"
dataloader.train.mapper.augmentations[0].update(short_edge_length=(320,), max_size=480)
dataloader.test.mapper.augmentations[0].update(short_edge_length=320, max_size=480)
train.init_checkpoint = "efficientnet_lite0.pth"  # python -m eql_d2.checkpoint.efficientnet_lite

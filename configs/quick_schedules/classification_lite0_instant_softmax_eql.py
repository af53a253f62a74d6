"""The twin of classification_lite0_instant_softmax_eql.yaml."""

from detectron2.config import LazyCall as L

from eql_d2 import TimmBackbone

from .classification_R_18_instant_softmax_eql import (  # noqa: F401
    dataloader,
    lr_multiplier,
    model,
    optimizer,
    train,
)

model.backbone = L(TimmBackbone)(
    name="tf_efficientnet_lite0", out_features=["res2", "res3", "res4", "res5"], norm="BN"
)
model.classifier.in_features = 320
model.update(pixel_mean=[127.0] * 3, pixel_std=[128.0] * 3)

dataloader.train.mapper.transform.transforms[0].size = 96
dataloader.test.mapper.transform.transforms[0].size = 110
dataloader.test.mapper.transform.transforms[1].size = 96
train.init_checkpoint = "efficientnet_lite0.pth"  # python -m eql_d2.checkpoint.efficientnet_lite

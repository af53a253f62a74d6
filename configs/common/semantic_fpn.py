"""Semantic FPN, ResNet-50: the twin of ../Base-SemanticFPN.yaml; the loss is left to the leaf."""

from detectron2.config import LazyCall as L
from detectron2.layers import ShapeSpec
from detectron2.modeling import SemanticSegmentor
from detectron2.modeling.backbone import FPN, BasicStem, ResNet
from detectron2.modeling.backbone.fpn import LastLevelMaxPool

from eql_d2.modeling import EQLSemSegFPNHead

model = L(SemanticSegmentor)(
    backbone=L(FPN)(
        bottom_up=L(ResNet)(
            stem=L(BasicStem)(in_channels=3, out_channels=64, norm="FrozenBN"),
            stages=L(ResNet.make_default_stages)(depth=50, stride_in_1x1=True, norm="FrozenBN"),
            out_features=["res2", "res3", "res4", "res5"],
            freeze_at=2,
        ),
        in_features="${.bottom_up.out_features}",
        out_channels=256,
        top_block=L(LastLevelMaxPool)(),
    ),
    sem_seg_head=L(EQLSemSegFPNHead)(
        input_shape={
            f"p{level}": L(ShapeSpec)(channels=256, stride=2**level) for level in (2, 3, 4, 5)
        },
        num_classes=54,
        conv_dims=128,
        common_stride=4,
        norm="GN",
        ignore_value=255,
    ),
    pixel_mean=[103.53, 116.28, 123.675],
    pixel_std=[1.0, 1.0, 1.0],
)

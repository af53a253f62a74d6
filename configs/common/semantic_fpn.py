"""Semantic FPN, ResNet-50: the twin of ../Base-SemanticFPN.yaml; the loss is left to the leaf."""

from detectron2.config import LazyCall as L
from detectron2.layers import ShapeSpec
from detectron2.modeling import SemanticSegmentor

from eql_d2.modeling import EQLSemSegFPNHead

from .mask_rcnn_fpn import model as mask_rcnn

model = L(SemanticSegmentor)(
    backbone=mask_rcnn.backbone,
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

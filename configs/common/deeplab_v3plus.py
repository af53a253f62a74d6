"""DeepLabV3+, ResNet-50: the twin of ../Base-DeepLabV3Plus.yaml; the loss is left to the leaf."""

from detectron2.config import LazyCall as L
from detectron2.layers import ShapeSpec
from detectron2.modeling import SemanticSegmentor
from detectron2.modeling.backbone import BasicStem, BottleneckBlock, ResNet

from eql_d2.modeling import EQLDeepLabV3PlusHead


def stage(num_blocks, stride, in_channels, out_channels, dilations):
    return L(ResNet.make_stage)(
        block_class=BottleneckBlock,
        num_blocks=num_blocks,
        stride_per_block=[stride] + [1] * (num_blocks - 1),
        in_channels=in_channels,
        out_channels=out_channels,
        bottleneck_channels=out_channels // 4,
        stride_in_1x1=True,
        norm="SyncBN",
        dilation_per_block=dilations,
    )


model = L(SemanticSegmentor)(
    backbone=L(ResNet)(
        stem=L(BasicStem)(in_channels=3, out_channels=64, norm="SyncBN"),
        stages=[
            stage(3, 1, 64, 256, [1] * 3),
            stage(4, 2, 256, 512, [1] * 4),
            stage(6, 2, 512, 1024, [1] * 6),
            stage(3, 1, 1024, 2048, [2, 4, 8]),  # dilation 2 times the multi-grid 1, 2, 4
        ],
        out_features=["res2", "res5"],
    ),
    sem_seg_head=L(EQLDeepLabV3PlusHead)(
        input_shape={
            "res2": L(ShapeSpec)(channels=256, stride=4),
            "res5": L(ShapeSpec)(channels=2048, stride=16),
        },
        num_classes=54,
        project_channels=[48],
        aspp_dilations=[6, 12, 18],
        aspp_dropout=0.1,
        decoder_channels=[256, 256],
        common_stride=4,
        norm="SyncBN",
        train_size=None,  # pooled over the whole image, whatever its size
        ignore_value=255,
    ),
    pixel_mean=[103.53, 116.28, 123.675],
    pixel_std=[1.0, 1.0, 1.0],
)

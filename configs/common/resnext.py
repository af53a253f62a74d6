"""Stages of ResNeXt-50 32x4d, which Detectron2's ResNet.make_default_stages does not have."""

from detectron2.config import LazyCall as L
from detectron2.modeling.backbone import BottleneckBlock, ResNet

stages = [
    L(ResNet.make_stage)(
        block_class=BottleneckBlock,
        num_blocks=num_blocks,
        stride_per_block=[1 if stage == 0 else 2] + [1] * (num_blocks - 1),
        in_channels=64 if stage == 0 else 128 * 2**stage,
        bottleneck_channels=32 * 4 * 2**stage,  # 32 groups, of 4 channels in the first stage
        out_channels=256 * 2**stage,
        num_groups=32,
        stride_in_1x1=False,
        norm="BN",
    )
    for stage, num_blocks in enumerate([3, 4, 6, 3])
]

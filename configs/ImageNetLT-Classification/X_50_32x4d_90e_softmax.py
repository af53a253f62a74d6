from detectron2.config import LazyCall as L
from detectron2.modeling.backbone import BottleneckBlock, ResNet

from .R_50_90e_softmax import dataloader, lr_multiplier, model, optimizer, train  # noqa: F401

# ResNet.make_default_stages has no ResNeXt: 32 groups, of 4 channels in the first stage
model.backbone.stages = [
    L(ResNet.make_stage)(
        block_class=BottleneckBlock,
        num_blocks=num_blocks,
        stride_per_block=[1 if stage == 0 else 2] + [1] * (num_blocks - 1),
        in_channels=64 if stage == 0 else 128 * 2**stage,
        bottleneck_channels=32 * 4 * 2**stage,
        out_channels=256 * 2**stage,
        num_groups=32,
        stride_in_1x1=False,
        norm="BN",
    )
    for stage, num_blocks in enumerate([3, 4, 6, 3])
]

"""The feature pyramid of EFL's improved one-stage baseline (arXiv 2201.02593)."""

import torch.nn.functional as F
from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, FPN
from detectron2.modeling.backbone import build_resnet_backbone
from fvcore.nn import weight_init
from torch import Tensor, nn


class LateralP6P7(nn.Module):
    """P6 from a lateral and P7 from P6: 3 x 3 convolutions of stride 2, without an activation.

    Args:
        channels: of the lateral, and of P6 and P7.
    """

    num_levels = 2

    def __init__(self, channels: int):
        super().__init__()
        self.p6 = nn.Conv2d(channels, channels, 3, stride=2, padding=1)
        self.p7 = nn.Conv2d(channels, channels, 3, stride=2, padding=1)
        for conv in (self.p6, self.p7):
            weight_init.c2_xavier_fill(conv)

    def forward(self, lateral: Tensor) -> list[Tensor]:
        p6 = self.p6(lateral)
        return [p6, self.p7(p6)]


class LateralFPN(FPN):
    """``FPN`` whose top block gets the lateral of the coarsest feature, as in the official code.

    Detectron2's gives it the feature itself (C5) or its output (P5); here it gets what lies
    between: C5 after the 1 x 1 convolution. Images are padded to multiples of twice the coarsest
    stride, officially 64. Weights start as in Detectron2, uniform; officially normal.

    Args:
        **kwargs: arguments of ``FPN``; ``top_block`` is a :class:`LateralP6P7`.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self._size_divisibility *= 2

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Features by name, fine to coarse, of images (N, 3, H, W)."""
        features = self.bottom_up(x)
        merged = self.lateral_convs[0](features[self.in_features[-1]])
        results = [self.output_convs[0](merged)]
        extra = self.top_block(merged)
        # From coarse to fine; TorchScript unrolls this loop, which must begin at the beginning.
        for i, (lateral, output) in enumerate(zip(self.lateral_convs, self.output_convs)):
            if i > 0:
                coarse = F.interpolate(merged, scale_factor=2.0, mode="nearest")
                merged = lateral(features[self.in_features[-i - 1]]) + coarse
                if self._fuse_type == "avg":
                    merged = merged / 2
                results.insert(0, output(merged))
        results.extend(extra)
        return dict(zip(self._out_features, results))


@BACKBONE_REGISTRY.register()
def build_improved_baseline_resnet_fpn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> LateralFPN:
    """Detectron2's ResNet with :class:`LateralFPN`: P3 to P7 for ``MODEL.FPN.IN_FEATURES`` res3 to
    res5."""
    channels = cfg.MODEL.FPN.OUT_CHANNELS
    return LateralFPN(
        bottom_up=build_resnet_backbone(cfg, input_shape),
        in_features=cfg.MODEL.FPN.IN_FEATURES,
        out_channels=channels,
        norm=cfg.MODEL.FPN.NORM,
        top_block=LateralP6P7(channels),
        fuse_type=cfg.MODEL.FPN.FUSE_TYPE,
    )

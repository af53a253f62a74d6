"""CSPDarknet and its feature pyramid, the backbone of YOLOX (arXiv 2107.08430)."""

import math

import torch
import torch.nn.functional as F
from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, Backbone
from torch import Tensor, nn

from ...exceptions import InputError
from .layers import BaseConv, CSPLayer, Focus, SPPBottleneck

STEM_ORDERS = ("row_major", "column_major")


class CSPDarknet(Backbone):
    """CSPDarknet: features "dark3", "dark4" and "dark5" of the strides 8, 16 and 32.

    Args:
        depth: factor of the number of bottlenecks, 3 and 9 at 1. YOLOX-S 0.33, M 0.67, L 1.
        width: factor of the channels, 64 in the stem to 1024 at 1. YOLOX-S 0.5, M 0.75, L 1.
        stem_order: "row_major", United-Perception's (YOLOX-IP), or "column_major", Megvii's: see
            :class:`Focus`.

    Raises:
        InputError: a factor is too small to leave a channel, or the order is unknown.
    """

    def __init__(self, depth: float, width: float, stem_order: str = "row_major"):
        super().__init__()
        _check(depth, width, stem_order)
        channels, few = int(width * 64), max(round(depth * 3), 1)
        self.stem = Focus(3, channels, row_major=stem_order == "row_major")
        self.dark2 = _stage(channels, few)
        self.dark3 = _stage(2 * channels, 3 * few)
        self.dark4 = _stage(4 * channels, 3 * few)
        self.dark5 = nn.Sequential(
            BaseConv(8 * channels, 16 * channels, 3, 2),
            SPPBottleneck(16 * channels, 16 * channels),
            CSPLayer(16 * channels, 16 * channels, few, shortcut=False),
        )
        self._out_feature_channels = {f"dark{i}": channels * 2 ** (i - 1) for i in (3, 4, 5)}
        self._out_feature_strides = {f"dark{i}": 2**i for i in (3, 4, 5)}
        self._out_features = list(self._out_feature_strides)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Features by name of images (N, 3, H, W), H and W multiples of 32."""
        dark3 = self.dark3(self.dark2(self.stem(x)))
        dark4 = self.dark4(dark3)
        return {"dark3": dark3, "dark4": dark4, "dark5": self.dark5(dark4)}


class YOLOPAFPN(Backbone):
    """Path aggregation network on a :class:`CSPDarknet`: features "p3" to "p5", of its strides and
    channels, first from coarse to fine and then back.

    Args:
        bottom_up: the network below; Megvii's name for it is kept: ``backbone``.
        depth: factor of the number of bottlenecks, 3 at 1.
        shortcut: whether the bottlenecks are residual. True in United-Perception (YOLOX-IP), where
            the default of its layer is not overridden, False in Megvii's YOLOX. Weights fit both.
    """

    def __init__(self, bottom_up: CSPDarknet, depth: float, shortcut: bool = True):
        super().__init__()
        c3, c4, c5 = (shape.channels for shape in bottom_up.output_shape().values())
        few = round(depth * 3)
        self.backbone = bottom_up
        self.lateral_conv0 = BaseConv(c5, c4, 1)
        self.C3_p4 = CSPLayer(2 * c4, c4, few, shortcut)
        self.reduce_conv1 = BaseConv(c4, c3, 1)
        self.C3_p3 = CSPLayer(2 * c3, c3, few, shortcut)
        self.bu_conv2 = BaseConv(c3, c3, 3, 2)
        self.C3_n3 = CSPLayer(2 * c3, c4, few, shortcut)
        self.bu_conv1 = BaseConv(c4, c4, 3, 2)
        self.C3_n4 = CSPLayer(2 * c4, c5, few, shortcut)
        self._out_feature_channels = {"p3": c3, "p4": c4, "p5": c5}
        self._out_feature_strides = {"p3": 8, "p4": 16, "p5": 32}
        self._out_features = list(self._out_feature_strides)

    @property
    def size_divisibility(self) -> int:
        return 32

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Features by name of images (N, 3, H, W), H and W multiples of 32."""
        features = self.backbone(x)
        lateral = self.lateral_conv0(features["dark5"])
        p4 = self.C3_p4(torch.cat([_double(lateral), features["dark4"]], dim=1))
        reduced = self.reduce_conv1(p4)
        p3 = self.C3_p3(torch.cat([_double(reduced), features["dark3"]], dim=1))
        n4 = self.C3_n3(torch.cat([self.bu_conv2(p3), reduced], dim=1))
        n5 = self.C3_n4(torch.cat([self.bu_conv1(n4), lateral], dim=1))
        return {"p3": p3, "p4": n4, "p5": n5}


@BACKBONE_REGISTRY.register()
def build_yolox_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> YOLOPAFPN:
    """:class:`CSPDarknet` with :class:`YOLOPAFPN` of ``MODEL.YOLOX``, all of it trained."""
    yolox = cfg.MODEL.YOLOX
    bottom_up = CSPDarknet(yolox.DEPTH, yolox.WIDTH, yolox.STEM_ORDER)
    return YOLOPAFPN(bottom_up, yolox.DEPTH, yolox.NECK_SHORTCUT)


def _stage(channels: int, num_bottlenecks: int) -> nn.Sequential:
    return nn.Sequential(
        BaseConv(channels, 2 * channels, 3, 2),
        CSPLayer(2 * channels, 2 * channels, num_bottlenecks),
    )


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


def _check(depth: float, width: float, stem_order: str) -> None:
    for key, value, least in (("DEPTH", depth, 0.17), ("WIDTH", width, 1 / 32)):
        if not (math.isfinite(value) and value >= least):
            raise InputError(
                f"MODEL.YOLOX.{key} is {value}: give a factor of {least:.2g} or more, for example "
                "0.33 and 0.5 (DEPTH and WIDTH of YOLOX-S)"
            )
    if stem_order not in STEM_ORDERS:
        raise InputError(
            f"MODEL.YOLOX.STEM_ORDER is {stem_order!r}: choose {' or '.join(STEM_ORDERS)}"
        )

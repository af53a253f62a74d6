"""Head of YOLOX-IP: that of YOLOX, with anchors."""

from detectron2.config import configurable
from detectron2.layers import ShapeSpec
from torch import Tensor, nn

from ..atss import head_arguments
from .layers import BaseConv


class YOLOXHead(nn.Module):
    """Decoupled head of each level, by Megvii's names; the levels share nothing.

    A 1 x 1 convolution brings each level to the same number of channels; then one branch of two
    3 x 3 convolutions for the class and one for the box and its IoU. (``obj_preds`` is the
    objectness of YOLOX, and the IoU in YOLOX-IP.) Convolutions begin as PyTorch's do; the biases
    of class and IoU are set by the meta architecture.

    Args:
        input_shape: shapes of the features.
        num_classes: C.
        num_anchors: A, anchors at each location.
        channels: of both branches, 256 at width 1.
    """

    @configurable
    def __init__(
        self, *, input_shape: list[ShapeSpec], num_classes: int, num_anchors: int, channels: int
    ):
        super().__init__()
        levels = range(len(input_shape))
        self.stems = nn.ModuleList(BaseConv(shape.channels, channels, 1) for shape in input_shape)
        self.cls_convs = nn.ModuleList(_branch(channels) for _ in levels)
        self.reg_convs = nn.ModuleList(_branch(channels) for _ in levels)
        self.cls_preds = nn.ModuleList(
            nn.Conv2d(channels, num_anchors * num_classes, 1) for _ in levels
        )
        self.reg_preds = nn.ModuleList(nn.Conv2d(channels, num_anchors * 4, 1) for _ in levels)
        self.obj_preds = nn.ModuleList(nn.Conv2d(channels, num_anchors, 1) for _ in levels)

    @classmethod
    def from_config(cls, cfg, input_shape):
        channels = int(256 * cfg.MODEL.YOLOX.WIDTH)
        return {**head_arguments(cfg, input_shape), "channels": channels}

    def forward(self, features: list[Tensor]) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """Predict from the features of each level.

        Returns:
            For each level the logits of the classes (N, A * C, H, W), channel a * C + c, the box
            deltas (N, A * 4, H, W) and the logit of the IoU (N, A, H, W).
        """
        logits: list[Tensor] = []
        deltas: list[Tensor] = []
        ious: list[Tensor] = []
        # TorchScript unrolls this loop, for which all in the zip must be modules.
        for i, (stem, cls_convs, cls_pred, reg_convs, reg_pred, obj_pred) in enumerate(
            zip(
                self.stems,
                self.cls_convs,
                self.cls_preds,
                self.reg_convs,
                self.reg_preds,
                self.obj_preds,
            )
        ):
            feature = stem(features[i])
            logits.append(cls_pred(cls_convs(feature)))
            box_feature = reg_convs(feature)
            deltas.append(reg_pred(box_feature))
            ious.append(obj_pred(box_feature))
        return logits, deltas, ious


def _branch(channels: int) -> nn.Sequential:
    return nn.Sequential(BaseConv(channels, channels, 3), BaseConv(channels, channels, 3))

"""Building blocks of YOLOX, by Megvii's names, so that its weights fit.

Written from the structure of Megvii-BaseDetection/YOLOX and ModelTC/United-Perception, both
Apache-2.0; no code is theirs.
"""

import torch
from torch import Tensor, nn


class BaseConv(nn.Module):
    """Convolution that keeps the size (at stride 1), batch norm and SiLU.

    Args:
        in_channels, out_channels, kernel_size, stride: of the convolution, which has no bias.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1):
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2, bias=False
        )
        # Those of YOLOX and of YOLOX-IP, not PyTorch's
        self.bn = nn.BatchNorm2d(out_channels, eps=1e-3, momentum=0.03)
        self.act = nn.SiLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.bn(self.conv(x)))


class PlainBottleneck(nn.Module):
    """A 1 x 1 and a 3 x 3 convolution.

    Args:
        channels: of input, output and between.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.conv1 = BaseConv(channels, channels, 1)
        self.conv2 = BaseConv(channels, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(self.conv1(x))


class ResidualBottleneck(PlainBottleneck):
    """The same, added to its input."""

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(self.conv1(x))


class CSPLayer(nn.Module):
    """Cross stage partial layer: half of the channels go through bottlenecks, half around them.

    Args:
        in_channels, out_channels: of the layer.
        num_bottlenecks: one after the other.
        shortcut: whether they are residual.
    """

    def __init__(
        self, in_channels: int, out_channels: int, num_bottlenecks: int, shortcut: bool = True
    ):
        super().__init__()
        half = out_channels // 2
        bottleneck = ResidualBottleneck if shortcut else PlainBottleneck
        self.conv1 = BaseConv(in_channels, half, 1)
        self.conv2 = BaseConv(in_channels, half, 1)
        self.conv3 = BaseConv(2 * half, out_channels, 1)
        self.m = nn.Sequential(*(bottleneck(half) for _ in range(num_bottlenecks)))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv3(torch.cat([self.m(self.conv1(x)), self.conv2(x)], dim=1))


class SPPBottleneck(nn.Module):
    """Spatial pyramid pooling: the maxima of windows of 5, 9 and 13 cells beside the input.

    Args:
        in_channels, out_channels: of the layer.
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        half = in_channels // 2
        self.conv1 = BaseConv(in_channels, half, 1)
        self.m = nn.ModuleList(nn.MaxPool2d(size, 1, padding=size // 2) for size in (5, 9, 13))
        self.conv2 = BaseConv(4 * half, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        pooled = [x]
        for pool in self.m:
            pooled.append(pool(x))
        return self.conv2(torch.cat(pooled, dim=1))


class Focus(nn.Module):
    """Stem: the four pixels of each 2 x 2 patch become channels, then a 3 x 3 convolution.

    Args:
        in_channels: of the image.
        out_channels: of the stem.
        row_major: order of the pixels among the channels. True: top left, top right, bottom left,
            bottom right, as in United-Perception; False: top left, bottom left, top right, bottom
            right, as in Megvii's YOLOX. Weights of one order load into the other and are wrong.
    """

    def __init__(self, in_channels: int, out_channels: int, row_major: bool = True):
        super().__init__()
        self.row_major = row_major
        self.conv = BaseConv(4 * in_channels, out_channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        top_left, top_right = x[..., ::2, ::2], x[..., ::2, 1::2]
        bottom_left, bottom_right = x[..., 1::2, ::2], x[..., 1::2, 1::2]
        middle = [top_right, bottom_left] if self.row_major else [bottom_left, top_right]
        return self.conv(torch.cat([top_left, middle[0], middle[1], bottom_right], dim=1))

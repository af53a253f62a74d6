"""EfficientNet-Lite0 up to its last block, with the names of the package
efficientnet-lite-pytorch: MobileNetV2's blocks with ReLU6, padded as TensorFlow's "SAME"."""

import torch.nn.functional as F
from torch import nn

# (kernel size, stride of the first block, expansion, output channels, blocks) of each stage
STAGES = [
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
]


class SameConv(nn.Conv2d):
    """Output of ceil(size / stride); of an odd number of padded pixels there is one more behind."""

    def __init__(self, in_channels, out_channels, kernel_size, stride=1, groups=1):
        super().__init__(in_channels, out_channels, kernel_size, stride, groups=groups, bias=False)

    def forward(self, x):
        (kernel, _), (stride, _) = self.kernel_size, self.stride
        pads = []
        for size in (x.shape[3], x.shape[2]):
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [total // 2, total - total // 2]
        return super().forward(F.pad(x, pads))


class Block(nn.Module):
    def __init__(self, kernel_size, stride, expansion, in_channels, out_channels):
        super().__init__()
        channels = in_channels * expansion
        if expansion > 1:
            self._expand_conv = SameConv(in_channels, channels, 1)
            self._bn0 = nn.BatchNorm2d(channels, eps=1e-3)
        self._depthwise_conv = SameConv(channels, channels, kernel_size, stride, groups=channels)
        self._bn1 = nn.BatchNorm2d(channels, eps=1e-3)
        self._project_conv = SameConv(channels, out_channels, 1)
        self._bn2 = nn.BatchNorm2d(out_channels, eps=1e-3)
        self.expands = expansion > 1
        self.is_residual = stride == 1 and in_channels == out_channels

    def forward(self, x):
        y = F.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        y = F.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.is_residual else y


class EfficientNetLite0(nn.Module):
    """Returns the features of strides 4, 8, 16 and 32, each from the last block of its stride."""

    def __init__(self):
        super().__init__()
        self._conv_stem = SameConv(3, 32, 3, stride=2)
        self._bn0 = nn.BatchNorm2d(32, eps=1e-3)
        blocks, ends, channels = [], [], 32
        for kernel_size, stride, expansion, out_channels, count in STAGES:
            for i in range(count):
                blocks.append(
                    Block(kernel_size, 1 if i else stride, expansion, channels, out_channels)
                )
                channels = out_channels
            ends.append(len(blocks) - 1)
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = SameConv(channels, 1280, 1)
        self._bn1 = nn.BatchNorm2d(1280, eps=1e-3)
        self._fc = nn.Linear(1280, 1000)
        self.ends = [ends[stage] for stage in (1, 2, 4, 6)]

    def forward(self, x):
        x = F.relu6(self._bn0(self._conv_stem(x)))
        features = []
        for i, block in enumerate(self._blocks):
            x = block(x)
            if i in self.ends:
                features.append(x)
        return features

"""YOLOX by the names of Megvii's and of United-Perception's files: state dicts, and slow forwards.

From the tables of the two codes' configs, with plain operators of PyTorch. What a file does not
tell is an argument: whether the neck is residual and how the stem orders the pixels of a patch.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

EPS = 1e-3
# Channels of the stem and bottlenecks of a short stage
SIZES = {"S": (32, 1), "M": (48, 2)}


class Names(NamedTuple):
    backbone: str
    neck: str
    head: str
    stem: str
    pooling: str
    norm: str


MEGVII = Names("backbone.backbone.", "backbone.", "head.", "stem.conv", "dark5.1.conv", "bn")
UNITED_PERCEPTION = Names(
    "backbone.", "neck.", "roi_head.", "stem.conv_block", "dark5.1.conv_block", "bn1"
)

Block = tuple[str, int, int, int]  # name, channels before and after, size of the kernel


def backbone_and_neck(names: Names, size: str) -> Iterator[Block]:
    """Convolutions with a batch norm, in the numbers of YOLOX-S times the width."""
    stem, few = SIZES[size]
    table = [
        ("backbone", names.stem, 12, 32, 3, 0),
        ("backbone", "dark2.0", 32, 64, 3, 0),
        ("backbone", "dark2.1", 64, 64, 0, few),
        ("backbone", "dark3.0", 64, 128, 3, 0),
        ("backbone", "dark3.1", 128, 128, 0, 3 * few),
        ("backbone", "dark4.0", 128, 256, 3, 0),
        ("backbone", "dark4.1", 256, 256, 0, 3 * few),
        ("backbone", "dark5.0", 256, 512, 3, 0),
        ("backbone", f"{names.pooling}1", 512, 256, 1, 0),
        ("backbone", f"{names.pooling}2", 1024, 512, 1, 0),
        ("backbone", "dark5.2", 512, 512, 0, few),
        ("neck", "lateral_conv0", 512, 256, 1, 0),
        ("neck", "C3_p4", 512, 256, 0, few),
        ("neck", "reduce_conv1", 256, 128, 1, 0),
        ("neck", "C3_p3", 256, 128, 0, few),
        ("neck", "bu_conv2", 128, 128, 3, 0),
        ("neck", "C3_n3", 256, 256, 0, few),
        ("neck", "bu_conv1", 256, 256, 3, 0),
        ("neck", "C3_n4", 512, 512, 0, few),
    ]
    for part, layer, before, after, kernel, number in table:
        name = getattr(names, part) + layer
        before = before if before == 12 else before * stem // 32
        after = after * stem // 32
        if kernel:
            yield name, before, after, kernel
            continue
        half = after // 2
        yield from ((f"{name}.conv{i}", before, half, 1) for i in (1, 2))
        yield f"{name}.conv3", after, after, 1
        for i in range(number):
            yield f"{name}.m.{i}.conv1", half, half, 1
            yield f"{name}.m.{i}.conv2", half, half, 3


def head_blocks(names: Names, size: str) -> Iterator[Block]:
    inner = 128 * SIZES[size][0] // 32
    for level in range(3):
        yield f"{names.head}stems.{level}", inner * 2**level, inner, 1
        for branch in ("cls_convs", "reg_convs"):
            yield from ((f"{names.head}{branch}.{level}.{i}", inner, inner, 3) for i in (0, 1))


def head_layers(names: Names, size: str, num_classes: int, num_anchors: int) -> Iterator[Block]:
    """Convolutions with a bias."""
    inner = 128 * SIZES[size][0] // 32
    for level in range(3):
        for layer, numbers in (("cls", num_classes), ("reg", 4), ("obj", 1)):
            yield f"{names.head}{layer}_preds.{level}", inner, num_anchors * numbers, 1


def random_tensor(name: str, shape: tuple[int, ...]) -> Tensor:
    """Values that neither die nor explode, where EPS and the bend of SiLU are seen."""
    if name.endswith("num_batches_tracked"):
        return torch.tensor(7)
    if name.endswith("running_var"):
        return torch.rand(shape) + 0.05
    if len(shape) == 1:
        return torch.randn(shape) * 0.1 + (0.8 if name.endswith(".weight") else 0)
    return torch.randn(shape) / math.sqrt(math.prod(shape[1:]))


def state_dict(
    make, names: Names, size: str, num_classes: int, num_anchors: int
) -> dict[str, Tensor]:
    """The whole model; ``make(name, shape)`` gives its tensors."""
    state = {}
    for name, before, after, kernel in (
        *backbone_and_neck(names, size),
        *head_blocks(names, size),
    ):
        state[f"{name}.conv.weight"] = (after, before, kernel, kernel)
        for kind in ("weight", "bias", "running_mean", "running_var"):
            state[f"{name}.{names.norm}.{kind}"] = (after,)
        state[f"{name}.{names.norm}.num_batches_tracked"] = ()
    for name, before, after, kernel in head_layers(names, size, num_classes, num_anchors):
        state[f"{name}.weight"] = (after, before, kernel, kernel)
        state[f"{name}.bias"] = (after,)
    return {name: make(name, shape) for name, shape in state.items()}


def num_parameters(blocks: Iterator[Block]) -> int:
    """Of convolutions with a batch norm: their weights, a scale and a shift."""
    return sum(before * after * kernel**2 + 2 * after for _, before, after, kernel in blocks)


class Network:
    """Forward passes on a state dict, evaluated.

    Args:
        state: tensors by the names of the file.
        names: whose names.
        size: key of ``SIZES``.
        shortcut: whether the bottlenecks of the neck are residual.
        by_rows: whether the stem takes the pixels of a patch by rows, or else by columns.
    """

    def __init__(self, state: dict, names: Names, size: str, shortcut: bool, by_rows: bool):
        self.state, self.names, self.shortcut, self.by_rows = state, names, shortcut, by_rows
        self.few = SIZES[size][1]

    def block(self, name: str, x: Tensor, stride: int = 1) -> Tensor:
        weight = self.state[f"{name}.conv.weight"]
        x = F.conv2d(x, weight, None, stride, weight.shape[-1] // 2)
        scale, shift, mean, var = (
            self.state[f"{name}.{self.names.norm}.{kind}"].view(-1, 1, 1)
            for kind in ("weight", "bias", "running_mean", "running_var")
        )
        x = (x - mean) / (var + EPS).sqrt() * scale + shift
        return x * x.sigmoid()

    def csp(self, name: str, x: Tensor, number: int, shortcut: bool) -> Tensor:
        inner = self.block(f"{name}.conv1", x)
        for i in range(number):
            found = self.block(f"{name}.m.{i}.conv1", inner)
            found = self.block(f"{name}.m.{i}.conv2", found)
            inner = inner + found if shortcut else found
        both = torch.cat([inner, self.block(f"{name}.conv2", x)], dim=1)
        return self.block(f"{name}.conv3", both)

    def bottom_up(self, x: Tensor) -> list[Tensor]:
        """Features of the strides 8, 16 and 32."""
        at, few = self.names.backbone, self.few
        height, width = x.shape[-2:]
        patches = x.view(len(x), 3, height // 2, 2, width // 2, 2)  # color, y, row, x, column
        order = (0, 3, 5, 1, 2, 4) if self.by_rows else (0, 5, 3, 1, 2, 4)
        x = patches.permute(order).reshape(len(x), 12, height // 2, width // 2)
        x = self.block(at + self.names.stem, x)
        x = self.csp(f"{at}dark2.1", self.block(f"{at}dark2.0", x, 2), few, True)
        c3 = self.csp(f"{at}dark3.1", self.block(f"{at}dark3.0", x, 2), 3 * few, True)
        c4 = self.csp(f"{at}dark4.1", self.block(f"{at}dark4.0", c3, 2), 3 * few, True)
        x = self.block(f"{at}{self.names.pooling}1", self.block(f"{at}dark5.0", c4, 2))
        pools = [F.max_pool2d(x, size, 1, size // 2) for size in (5, 9, 13)]
        x = self.block(f"{at}{self.names.pooling}2", torch.cat([x, *pools], dim=1))
        return [c3, c4, self.csp(f"{at}dark5.2", x, few, False)]

    def features(self, image: Tensor) -> list[Tensor]:
        """Those of the neck, of the strides 8, 16 and 32, from an image (N, 3, H, W)."""
        c3, c4, c5 = self.bottom_up(image)
        at = self.names.neck

        def csp(name, *features):
            return self.csp(at + name, torch.cat(features, dim=1), self.few, self.shortcut)

        def enlarge(x):
            return x.repeat_interleave(2, -1).repeat_interleave(2, -2)

        lateral = self.block(f"{at}lateral_conv0", c5)
        reduced = self.block(f"{at}reduce_conv1", csp("C3_p4", enlarge(lateral), c4))
        p3 = csp("C3_p3", enlarge(reduced), c3)
        p4 = csp("C3_n3", self.block(f"{at}bu_conv2", p3, 2), reduced)
        return [p3, p4, csp("C3_n4", self.block(f"{at}bu_conv1", p4, 2), lateral)]

    def head(self, features: list[Tensor]) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Class logits, box deltas and the third layer (IoU or objectness) of each level."""
        at, outputs = self.names.head, []
        for level, x in enumerate(features):
            x = self.block(f"{at}stems.{level}", x)
            cls, reg = x, x
            for i in (0, 1):
                cls = self.block(f"{at}cls_convs.{level}.{i}", cls)
                reg = self.block(f"{at}reg_convs.{level}.{i}", reg)
            places = (("cls", cls), ("reg", reg), ("obj", reg))
            names = [(f"{at}{layer}_preds.{level}", source) for layer, source in places]
            outputs.append(
                tuple(
                    F.conv2d(source, self.state[f"{name}.weight"], self.state[f"{name}.bias"])
                    for name, source in names
                )
            )
        return outputs

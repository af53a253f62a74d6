"""Models of other code by the names of their files: state dicts, and slow forward passes on them.

Written with plain operators of PyTorch; the backbone of mmdet and United-Perception is that of
torchvision itself. Images are RGB, (3, H, W), 0 to 255.
"""

import math

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor
from torchvision.ops import roi_align


def random_tensor(name: str, shape: tuple[int, ...]) -> Tensor:
    """Values with which a deep network neither dies nor explodes."""
    if name.endswith("num_batches_tracked"):
        return torch.tensor(3)
    if name.endswith("running_var"):
        return torch.rand(shape) + 0.5
    if len(shape) == 1:
        values = torch.randn(shape) * 0.1
        is_norm = name.endswith(".weight")
        last_of_block = "bn3" in name or "conv3.norm" in name
        return values + (0.2 if last_of_block else 1.0) if is_norm else values
    # Pixels of MSRA's networks are not divided by their spread; scores must not saturate.
    scale = 1 / 60 if "stem.conv1" in name else 1
    if "cls_score" in name or "fc_cls" in name:
        scale = 0.03
    return torch.randn(shape) * math.sqrt(2 / math.prod(shape[1:])) * scale


def empty_tensor(name: str, shape: tuple[int, ...]) -> Tensor:
    """Ones that take no memory, nor space in a file."""
    return torch.ones(()).expand(shape)


class Foreign:
    """A state dict under construction: ``make(name, shape)`` gives its tensors."""

    def __init__(self, make):
        self.make = make
        self.state = {}

    def add(self, name: str, *shape: int) -> None:
        self.state[name] = self.make(name, shape)

    def conv(self, name: str, after: int, before: int, size: int, bias: bool = True) -> None:
        self.add(f"{name}.weight", after, before, size, size)
        if bias:
            self.add(f"{name}.bias", after)

    def linear(self, name: str, after: int, before: int) -> None:
        self.add(f"{name}.weight", after, before)
        self.add(f"{name}.bias", after)

    def torchvision_backbone(self, depth: int) -> None:
        with torch.device("meta"):
            network = getattr(torchvision.models, f"resnet{depth}")()
        for name, value in network.state_dict().items():
            if not name.startswith("fc."):
                self.add(f"backbone.{name}", *value.shape)


def mmdet_mask_rcnn(make, num_classes: int, num_columns: int, depth: int = 50) -> dict:
    model = Foreign(make)
    model.torchvision_backbone(depth)
    for i, channels in enumerate((256, 512, 1024, 2048)):
        model.conv(f"neck.lateral_convs.{i}.conv", 256, channels, 1)
        model.conv(f"neck.fpn_convs.{i}.conv", 256, 256, 3)
    model.conv("rpn_head.rpn_conv", 256, 256, 3)
    model.conv("rpn_head.rpn_cls", 3, 256, 1)
    model.conv("rpn_head.rpn_reg", 12, 256, 1)
    model.linear("roi_head.bbox_head.shared_fcs.0", 1024, 256 * 7 * 7)
    model.linear("roi_head.bbox_head.shared_fcs.1", 1024, 1024)
    model.linear("roi_head.bbox_head.fc_cls", num_columns, 1024)
    model.linear("roi_head.bbox_head.fc_reg", 4 * num_classes, 1024)
    for i in range(4):
        model.conv(f"roi_head.mask_head.convs.{i}.conv", 256, 256, 3)
    model.conv("roi_head.mask_head.upsample", 256, 256, 2)
    model.conv("roi_head.mask_head.conv_logits", num_classes, 256, 1)
    return model.state


def mmdet_retinanet(make, num_classes: int, depth: int = 50) -> dict:
    model = Foreign(make)
    model.torchvision_backbone(depth)
    for i, channels in enumerate((512, 1024, 2048)):
        model.conv(f"neck.lateral_convs.{i}.conv", 256, channels, 1)
        model.conv(f"neck.fpn_convs.{i}.conv", 256, 256, 3)
    model.conv("neck.fpn_convs.3.conv", 256, 2048, 3)
    model.conv("neck.fpn_convs.4.conv", 256, 256, 3)
    for i in range(4):
        model.conv(f"bbox_head.cls_convs.{i}.conv", 256, 256, 3)
        model.conv(f"bbox_head.reg_convs.{i}.conv", 256, 256, 3)
    model.conv("bbox_head.retina_cls", 9 * num_classes, 256, 3)
    model.conv("bbox_head.retina_reg", 36, 256, 3)
    return model.state


def united_perception(make, num_classes: int, depth: int = 50) -> dict:
    model = Foreign(make)
    model.torchvision_backbone(depth)
    for theirs, first in (("layer0.0", "conv1"), ("layer0.1", "bn1")):
        for name in [n for n in model.state if n.startswith(f"backbone.{first}.")]:
            model.state[name.replace(first, theirs)] = model.state[name]
    for level, channels in ((3, 512), (4, 1024), (5, 2048)):
        model.conv(f"neck.c{level}_lateral", 256, channels, 1)
        model.conv(f"neck.p{level}_conv", 256, 256, 3)
    model.conv("neck.p6_conv", 256, 256, 3)
    model.conv("neck.p7_conv", 256, 256, 3)
    for branch in ("cls_subnet", "box_subnet"):
        for i in range(0, 12, 3):
            model.conv(f"roi_head.{branch}.{i}", 256, 256, 3, bias=False)
            model.add(f"roi_head.{branch}.{i + 1}.weight", 256)
            model.add(f"roi_head.{branch}.{i + 1}.bias", 256)
    model.conv("roi_head.cls_subnet_pred", 2 * num_classes, 256, 3)
    model.conv("roi_head.box_subnet_pred", 8, 256, 3)
    model.conv("roi_head.iou_pred", 2, 256, 3)
    return model.state


def eql_detectron2(make, num_classes: int, num_columns: int, num_blocks=(3, 4, 6, 3)) -> dict:
    model = Foreign(make)

    def conv_and_norm(name, after, before, size):
        model.conv(name, after, before, size, bias=False)
        for kind in ("weight", "bias", "running_mean", "running_var"):
            model.add(f"{name}.norm.{kind}", after)

    conv_and_norm("backbone.bottom_up.stem.conv1", 64, 3, 7)
    before = 64
    for stage, inner, blocks in zip((2, 3, 4, 5), (64, 128, 256, 512), num_blocks):
        for i in range(blocks):
            block = f"backbone.bottom_up.res{stage}.{i}"
            conv_and_norm(f"{block}.conv1", inner, before, 1)
            conv_and_norm(f"{block}.conv2", inner, inner, 3)
            conv_and_norm(f"{block}.conv3", 4 * inner, inner, 1)
            if i == 0:
                conv_and_norm(f"{block}.shortcut", 4 * inner, before, 1)
            before = 4 * inner
        model.conv(f"backbone.fpn_lateral{stage}", 256, before, 1)
        model.conv(f"backbone.fpn_output{stage}", 256, 256, 3)
    for i, size in enumerate((32, 64, 128, 256, 512)):
        anchors = torch.tensor([[-1.0, -1.0, 1.0, 1.0]]).repeat(3, 1) * size / 2
        model.state[f"proposal_generator.anchor_generator.cell_anchors.{i}"] = anchors
    model.conv("proposal_generator.rpn_head.conv", 256, 256, 3)
    model.conv("proposal_generator.rpn_head.objectness_logits", 3, 256, 1)
    model.conv("proposal_generator.rpn_head.anchor_deltas", 12, 256, 1)
    model.linear("roi_heads.box_head.fc1", 1024, 256 * 7 * 7)
    model.linear("roi_heads.box_head.fc2", 1024, 1024)
    model.linear("roi_heads.box_predictor.cls_score", num_columns, 1024)
    model.linear("roi_heads.box_predictor.bbox_pred", 4 * num_classes, 1024)
    for i in (1, 2, 3, 4):
        model.conv(f"roi_heads.mask_head.mask_fcn{i}", 256, 256, 3)
    model.conv("roi_heads.mask_head.deconv", 256, 256, 2)
    model.conv("roi_heads.mask_head.predictor", num_classes, 256, 1)
    return model.state


def conv(state: dict, name: str, x: Tensor, stride: int = 1) -> Tensor:
    weight = state[f"{name}.weight"]
    padding = weight.shape[-1] // 2
    return F.conv2d(x, weight, state.get(f"{name}.bias"), stride, padding)


def linear(state: dict, name: str, x: Tensor) -> Tensor:
    return F.linear(x, state[f"{name}.weight"], state[f"{name}.bias"])


def torchvision_features(state: dict, image: Tensor) -> list[Tensor]:
    """C2 to C5 of torchvision's ResNet-50."""
    network = torchvision.models.resnet50().eval()
    prefix = "backbone."
    # conv1 and bn1 may have second names, and the classifier is not in the file.
    weights = {n.removeprefix(prefix): v for n, v in state.items() if n.startswith(prefix)}
    found = network.load_state_dict(
        {n: v for n, v in weights.items() if not n.startswith("layer0")}, strict=False
    )
    assert found.missing_keys == ["fc.weight", "fc.bias"] and not found.unexpected_keys
    mean = torch.tensor([123.675, 116.28, 103.53]).view(3, 1, 1)
    std = torch.tensor([58.395, 57.12, 57.375]).view(3, 1, 1)
    x = ((image - mean) / std)[None]
    x = network.maxpool(network.relu(network.bn1(network.conv1(x))))
    features = []
    for layer in (network.layer1, network.layer2, network.layer3, network.layer4):
        x = layer(x)
        features.append(x)
    return features


def msra_features(state: dict, image: Tensor) -> list[Tensor]:
    """C2 to C5 of the ResNet-50 of MSRA: blue first, stride in the first 1 x 1 of a stage."""

    def conv_and_norm(name, x, stride=1):
        norm = {
            kind: state[f"backbone.bottom_up.{name}.norm.{kind}"].view(-1, 1, 1)
            for kind in ("weight", "bias", "running_mean", "running_var")
        }
        x = conv(state, f"backbone.bottom_up.{name}", x, stride)
        x = (x - norm["running_mean"]) / (norm["running_var"] + 1e-5).sqrt()
        return x * norm["weight"] + norm["bias"]

    x = (image.flip(0) - torch.tensor([103.53, 116.28, 123.675]).view(3, 1, 1))[None]
    x = F.max_pool2d(conv_and_norm("stem.conv1", x, 2).relu(), 3, 2, 1)
    features = []
    for stage, blocks in zip((2, 3, 4, 5), (3, 4, 6, 3)):
        for i in range(blocks):
            block, stride = f"res{stage}.{i}", 2 if i == 0 and stage > 2 else 1
            shortcut = conv_and_norm(f"{block}.shortcut", x, stride) if i == 0 else x
            x = conv_and_norm(f"{block}.conv1", x, stride).relu()
            x = conv_and_norm(f"{block}.conv2", x).relu()
            x = (conv_and_norm(f"{block}.conv3", x) + shortcut).relu()
        features.append(x)
    return features


def fpn(state: dict, features: list[Tensor], lateral: list[str], output: list[str]):
    """Laterals, summed from the top, and outputs; first level first."""
    sums = [conv(state, name, feature) for name, feature in zip(lateral, features)]
    top = sums[-1]
    for i in range(len(sums) - 2, -1, -1):
        sums[i] = sums[i] + F.interpolate(sums[i + 1], scale_factor=2, mode="nearest")
    return top, [conv(state, name, x) for name, x in zip(output, sums)]


def pool(levels: list[Tensor], boxes: Tensor, size: int) -> Tensor:
    """RoIAlign of each box on the level of its size, 56 pixels on the first."""
    pooled = []
    for box in boxes:
        side = ((box[2] - box[0]) * (box[3] - box[1])).sqrt()
        level = int((side / 56).log2().floor().clamp(0, 3))
        roi = box[None]
        scale = 1 / 2 ** (level + 2)
        pooled.append(roi_align(levels[level], [roi], size, scale, sampling_ratio=0, aligned=True))
    return torch.cat(pooled)


def box_branch(state: dict, x: Tensor, fc1: str, fc2: str, cls: str, reg: str):
    x = linear(state, fc2, linear(state, fc1, x.flatten(1)).relu()).relu()
    return linear(state, cls, x), linear(state, reg, x)


def mask_branch(state: dict, x: Tensor, convs: list[str], upsample: str, logits: str) -> Tensor:
    for name in convs:
        x = conv(state, name, x).relu()
    weight, bias = state[f"{upsample}.weight"], state[f"{upsample}.bias"]
    return conv(state, logits, F.conv_transpose2d(x, weight, bias, stride=2).relu())

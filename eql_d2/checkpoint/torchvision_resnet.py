"""ImageNet weights of torchvision's ResNets for Detectron2's ``ResNet``."""

import re
from typing import Any

from detectron2.modeling.backbone.resnet import BottleneckBlock, ResNet
from torch import Tensor, nn

from ..exceptions import InputError

_LAYER = re.compile(r"(?:layer([1-4])\.(\d+)\.)?(?:(conv|bn)(\d)|downsample\.([01]))")


def is_torchvision_resnet(weights: dict[str, Any]) -> bool:
    """Whether a state dict is one of a ResNet of torchvision, by its names."""
    return "conv1.weight" in weights and "layer1.0.conv1.weight" in weights


def convert_torchvision_resnet(weights: dict[str, Tensor], prefix: str = "") -> dict[str, Tensor]:
    """Name the weights as Detectron2's ``ResNet`` does: ``layer1.0.bn1.weight`` becomes
    ``res2.0.conv1.norm.weight``.

    The classifier is left out, and so are the counters of batch norm, which frozen ones lack.

    Args:
        weights: state dict of a ResNet of torchvision.
        prefix: put before the names, for example ``backbone.bottom_up.``

    Raises:
        InputError: a name is of no ResNet of torchvision.
    """
    return {
        f"{prefix}{_converted(name)}": value
        for name, value in weights.items()
        if not name.startswith("fc.") and not name.endswith("num_batches_tracked")
    }


def _converted(name: str) -> str:
    path, _, kind = name.rpartition(".")
    match = _LAYER.fullmatch(path)
    if match is None:
        raise InputError(
            f"{name!r} is no weight of a ResNet of torchvision, as the rest of the file is: give "
            "the state dict as torchvision publishes it"
        )
    stage, block, layer, number, downsample = match.groups()
    place = f"res{int(stage) + 1}.{block}" if stage else "stem"
    conv = f"conv{number}" if layer else "shortcut"
    norm = ".norm" if layer == "bn" or downsample == "1" else ""
    return f"{place}.{conv}{norm}.{kind}"


def for_resnets_of(model: nn.Module, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights of a ResNet of torchvision by the names of the model's ``ResNet``; as they are for a
    model without one.

    They are for RGB images with ``MODEL.PIXEL_MEAN`` [123.675, 116.28, 103.53] and
    ``MODEL.PIXEL_STD`` [58.395, 57.12, 57.375], which is not checked.

    Raises:
        InputError: the model has its strides where torchvision's has none.
    """
    converted = {}
    for path, module in model.named_modules():
        if isinstance(module, ResNet):
            _check_strides(module)
            converted.update(convert_torchvision_resnet(weights, f"{path}." if path else ""))
    return converted or weights


def _check_strides(resnet: ResNet) -> None:
    for block in resnet.modules():
        if isinstance(block, BottleneckBlock) and block.conv1.stride != (1, 1):
            raise InputError(
                "the weights are torchvision's, whose strides are in the 3 x 3 convolutions, but "
                "the model has them in the 1 x 1: set MODEL.RESNETS.STRIDE_IN_1X1 to False"
            )

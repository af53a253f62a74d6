"""What files of mmdet and United-Perception share: torchvision's ResNet and its pixels."""

from ..torchvision_resnet import convert_torchvision_resnet
from .architectures import depth_of_resnet
from .foreign_file import ForeignFile

# Statistics of ImageNet, 0 to 255, and the stride where torchvision's ResNet has it
TORCHVISION_INPUT = {
    "INPUT.FORMAT": "RGB",
    "MODEL.PIXEL_MEAN": [123.675, 116.28, 103.53],
    "MODEL.PIXEL_STD": [58.395, 57.12, 57.375],
    "MODEL.RESNETS.STRIDE_IN_1X1": False,
}
# Ours is frozen: it counts nothing.
COUNTERS = {r"\.num_batches_tracked$": "counters of batch norm, which is frozen here"}
# United-Perception's stem has a second name; a classifier would belong to another model.
_NO_LAYERS = ("layer0.", "fc.")


def torchvision_depth(file: ForeignFile) -> int:
    return depth_of_resnet(file.count("backbone.layer3.{}.conv1.weight"))


def torchvision_layers(file: ForeignFile) -> dict[str, str]:
    """Names in the file of the layers of the backbone, by ours.

    Raises:
        InputError: a name of the backbone is of no ResNet of torchvision.
    """
    weights = {
        name.removeprefix("backbone."): value
        for name, value in file.state.items()
        if name.startswith("backbone.") and not name.endswith("num_batches_tracked")
    }
    weights = {name: value for name, value in weights.items() if not name.startswith(_NO_LAYERS)}
    ours = convert_torchvision_resnet(weights, "backbone.bottom_up.")
    return {
        our_name.rpartition(".")[0]: f"backbone.{name.rpartition('.')[0]}"
        for our_name, name in zip(ours, weights, strict=True)
    }

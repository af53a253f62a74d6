"""The improved baseline of EFL (CVPR 2022) of United-Perception, release 0.1.0.

The channels of the class head are ordered by anchor, as ours. Later branches read them by class:
:func:`class_major_improved_baseline` is for files trained there. The loss and this order are those
of YOLOX-IP, too.
"""

import torch
from torch import Tensor

from ...exceptions import InputError
from .architectures import improved_baseline
from .foreign_file import ForeignFile
from .recipe import Change, Recipe
from .statistics import add_statistics
from .torchvision_layers import (
    COUNTERS,
    TORCHVISION_INPUT,
    torchvision_depth,
    torchvision_layers,
)

NUM_ANCHORS = 2
_LAYERS = {
    **{f"backbone.fpn_lateral{i}": f"neck.c{i}_lateral" for i in (3, 4, 5)},
    **{f"backbone.fpn_output{i}": f"neck.p{i}_conv" for i in (3, 4, 5)},
    "backbone.top_block.p6": "neck.p6_conv",
    "backbone.top_block.p7": "neck.p7_conv",
    # A convolution, its norm and a ReLU each
    **{f"head.cls_subnet.{i}": f"roi_head.cls_subnet.{3 * i}" for i in range(4)},
    **{f"head.cls_subnet.{i}.norm": f"roi_head.cls_subnet.{3 * i + 1}" for i in range(4)},
    **{f"head.bbox_subnet.{i}": f"roi_head.box_subnet.{3 * i}" for i in range(4)},
    **{f"head.bbox_subnet.{i}.norm": f"roi_head.box_subnet.{3 * i + 1}" for i in range(4)},
    "head.cls_score": "roi_head.cls_subnet_pred",
    "head.bbox_pred": "roi_head.box_subnet_pred",
    "head.iou_pred": "roi_head.iou_pred",
}
_LOSS = "post_process.cls_loss"


def efl_improved_baseline(file: ForeignFile) -> Recipe:
    recipe = _recipe(file)
    add_loss(recipe, file)
    return recipe


def class_major_improved_baseline(file: ForeignFile) -> Recipe:
    recipe = _recipe(file)
    sort_class_channels(recipe, ["head.cls_score"])
    return recipe


def add_loss(recipe: Recipe, file: ForeignFile) -> bool:
    """Let the gradient statistics come along. Returns whether there are some, as with EFL."""
    num_classes = recipe.overrides["MODEL.RETINANET.NUM_CLASSES"]
    statistics = add_statistics(
        recipe, file, num_classes, theirs=_LOSS, ours="loss_cls", largest_ratio=1.0
    )
    recipe.overrides["MODEL.EQL.LOSS"] = "EFL" if statistics else "FocalLoss"
    return statistics


def sort_class_channels(recipe: Recipe, layers: list[str]) -> None:
    """Order the channels of our class layers by anchor, from a file that has them by class."""
    recipe.overrides["MODEL.EQL.LOSS"] = "EFL"
    for name in (f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")):
        recipe.changes[name] = Change(recipe.shapes[name], _sort_by_anchor)
    recipe.dropped[rf"^{_LOSS}\.(pos_grad|neg_grad|pos_neg)$"] = (
        "gradients that were summed in the order of the anchors, so of mixed classes"
    )


def _recipe(file: ForeignFile) -> Recipe:
    depth = torchvision_depth(file)
    num_classes = file.rows("roi_head.cls_subnet_pred.weight") // NUM_ANCHORS
    _check_copies(file.state)
    of_lvis = "LVISv1-Detection/Base-LVISv1-ImprovedBaseline.yaml"
    return Recipe(
        title=f"the improved baseline R-{depth} of United-Perception with {num_classes} classes",
        shapes=improved_baseline(depth, num_classes, NUM_ANCHORS),
        layers={**torchvision_layers(file), **_LAYERS},
        dropped={**COUNTERS, r"^backbone\.layer0\.[01]\.": "second names of conv1 and bn1"},
        config_file=of_lvis if num_classes == 1203 else "Base-ImprovedBaseline.yaml",
        overrides={
            "MODEL.META_ARCHITECTURE": "EQLImprovedBaselineLegacyBoxes",
            "MODEL.BACKBONE.NAME": "build_improved_baseline_resnet_fpn_backbone",
            "MODEL.RESNETS.DEPTH": depth,
            "MODEL.RETINANET.NUM_CLASSES": num_classes,
            **TORCHVISION_INPUT,
        },
        notes=[
            "boxes of the source count pixels from corner to corner: MODEL.META_ARCHITECTURE moves "
            "their ends to the right and below, by 1 - 1/s pixels in an image enlarged s times",
        ],
    )


def _check_copies(state: dict[str, Tensor]) -> None:
    for copy, original in (
        ("backbone.layer0.0.", "backbone.conv1."),
        ("backbone.layer0.1.", "backbone.bn1."),
    ):
        for name, value in state.items():
            first = state.get(name.replace(copy, original))
            if name.startswith(copy) and (first is None or not torch.equal(value, first)):
                raise InputError(
                    f"{name} is not equal to its first name {name.replace(copy, original)}: the "
                    "file is damaged or of a changed model"
                )


def _sort_by_anchor(value: Tensor) -> Tensor:
    """From channels c * A + a to a * C + c."""
    return value.unflatten(0, (-1, NUM_ANCHORS)).transpose(0, 1).flatten(0, 1)

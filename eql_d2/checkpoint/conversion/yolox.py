"""Backbone and neck of YOLOX of Megvii (COCO), and what YOLOX files of both codes share."""

from typing import Any, NamedTuple

from torch import Tensor

from ...exceptions import InputError
from .architectures import yolox_pafpn
from .foreign_file import ForeignFile
from .recipe import Change, Recipe

_STEM = "backbone.backbone.stem.conv.conv.weight"


class YOLOXSize(NamedTuple):
    """A member of the family.

    Args:
        letter: its name.
        depth, width: factors, as ``MODEL.YOLOX`` has them.
        num_bottlenecks, channels: what they amount to; see :func:`yolox_pafpn`.
    """

    letter: str
    depth: float
    width: float
    num_bottlenecks: int
    channels: int


# All that have no depthwise convolutions
_SIZES = (
    YOLOXSize("Tiny", 0.33, 0.375, 1, 24),
    YOLOXSize("S", 0.33, 0.5, 1, 32),
    YOLOXSize("M", 0.67, 0.75, 2, 48),
    YOLOXSize("L", 1.0, 1.0, 3, 64),
    YOLOXSize("X", 1.33, 1.25, 4, 80),
)


def yolox_size(file: ForeignFile, stem: str, bottleneck: str) -> YOLOXSize:
    """Which YOLOX a file is of.

    Args:
        file: to convert.
        stem: name in the file of the weights of the stem.
        bottleneck: name of the weights of each bottleneck of the first stage, with {}.

    Raises:
        InputError: none has such a stem and so many bottlenecks.
    """
    channels, number = file.rows(stem), file.count(bottleneck)
    for size in _SIZES:
        if (size.num_bottlenecks, size.channels) == (number, channels):
            return size
    raise InputError(
        f"the file has a stem ({stem}) of {channels} channels and {number} bottlenecks in its "
        f"first stage: only YOLOX-{', '.join(size.letter for size in _SIZES[:-1])} and "
        f"{_SIZES[-1].letter} can be converted"
    )


def yolox_config(
    size: YOLOXSize, num_classes: int, neck_shortcut: bool
) -> tuple[str, dict[str, Any]]:
    """Config file and the keys of the model."""
    of_lvis = "LVISv1-Detection/Base-LVISv1-YOLOX-IP.yaml"
    config_file = of_lvis if num_classes == 1203 else "Base-YOLOX-IP.yaml"
    return config_file, {
        "MODEL.YOLOX.DEPTH": size.depth,
        "MODEL.YOLOX.WIDTH": size.width,
        "MODEL.YOLOX.NECK_SHORTCUT": neck_shortcut,
        "MODEL.YOLOX.STEM_ORDER": "row_major",
    }


def megvii_yolox(file: ForeignFile) -> Recipe:
    """Backbone and neck, by Megvii's names, which are ours; the head has no anchors.

    Raises:
        InputError: the head is not Megvii's: a file of this project has the same names, but its
            stem must not be changed once more.
    """
    if file.rows("head.reg_preds.0.weight") != 4:
        raise InputError(
            "the file has no head of YOLOX (head.reg_preds.0.weight with 4 rows): give one of "
            "Megvii's code as it was saved; files of this project need no conversion"
        )
    size = yolox_size(file, _STEM, "backbone.backbone.dark2.1.m.{}.conv1.conv.weight")
    shapes = yolox_pafpn(size.num_bottlenecks, size.channels)
    config_file, overrides = yolox_config(size, 1203, neck_shortcut=False)
    return Recipe(
        title=f"backbone and neck of Megvii's YOLOX-{size.letter}",
        shapes=shapes,
        changes={_STEM: Change(shapes[_STEM], _sort_pixels)},
        dropped={
            r"^head\.(stems|(cls|reg)_convs|(cls|reg|obj)_preds)\.[012]\.": "the head, which has "
            "other classes and no anchors: it is trained from its start"
        },
        config_file=config_file,
        overrides={**overrides, "MODEL.EQL.LOSS": "EFL"},
        notes=[
            "Megvii's neck was trained without shortcut: MODEL.YOLOX.NECK_SHORTCUT False computes "
            "what it was trained for, YOLOX-IP has True",
            "the stem reads the pixels of a patch by rows now: MODEL.YOLOX.STEM_ORDER row_major",
            "old files of Megvii (its option --legacy) expect RGB images, normalised, and cannot "
            "be told from new ones: with those INPUT.FORMAT, PIXEL_MEAN and PIXEL_STD differ",
        ],
        is_complete=False,
    )


def _sort_pixels(value: Tensor) -> Tensor:
    """Input channels of the stem from pixels of a patch by columns to pixels by rows."""
    return value.unflatten(1, (2, 2, 3)).transpose(1, 2).flatten(1, 3)

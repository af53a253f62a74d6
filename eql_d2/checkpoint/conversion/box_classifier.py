"""What Mask R-CNN files share: the columns of their box classifier and their configs."""

import math
from typing import Any

import torch
from torch import Tensor

from .foreign_file import ForeignFile
from .recipe import Change, Recipe

CLS_SCORE = "roi_heads.box_predictor.cls_score"
# Logit of the prior 0.001, with which a sigmoid loss starts every column
_START_BIAS = math.log(0.001 / 0.999)


def add_background_column(recipe: Recipe, file: ForeignFile, num_classes: int) -> bool:
    """Append the column that a classifier of EQL does not have, as our losses start it.

    EQL neither trains that column nor reads it.

    Returns:
        Whether the file has one column per class.
    """
    if file.rows(recipe.source(f"{CLS_SCORE}.weight")) != num_classes:
        return False
    for kind, value in (("weight", 0.0), ("bias", _START_BIAS)):
        name = f"{CLS_SCORE}.{kind}"
        shape = (num_classes, *recipe.shapes[name][1:])
        recipe.changes[name] = Change(shape, _append_row(value))
    recipe.notes.append(
        "EQL has one column for each class: a column for the background, unused, is appended to "
        "cls_score"
    )
    return True


def _append_row(value: float):
    def append(rows: Tensor) -> Tensor:
        return torch.cat([rows, torch.full_like(rows[:1], value)])

    return append


def mask_rcnn_config(
    depth: int, num_classes: int, mask_on: bool, loss: str
) -> tuple[str, dict[str, Any]]:
    """Config file and the keys of the model."""
    of_lvis = {
        1230: "LVISv0.5-InstanceSegmentation/Base-LVISv0.5.yaml",
        1203: "LVISv1-InstanceSegmentation/Base-LVISv1.yaml",
    }
    config_file = of_lvis.get(num_classes, "Base-Mask-RCNN-FPN.yaml")
    return config_file, {
        "MODEL.RESNETS.DEPTH": depth,
        "MODEL.ROI_HEADS.NUM_CLASSES": num_classes,
        "MODEL.MASK_ON": mask_on,
        "MODEL.EQL.LOSS": loss,
    }

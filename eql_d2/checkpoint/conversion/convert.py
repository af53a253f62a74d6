"""Find out whose file it is, convert it, and say what belongs to the result."""

import os
import shlex
from collections.abc import Callable

import torch

from ...exceptions import InputError
from ...files import open_atomic
from ...model_zoo import get_config_file
from .eql_detectron2 import eql_mask_rcnn
from .foreign_file import ForeignFile, read_foreign_file
from .mmdet import mmdet_mask_rcnn, mmdet_retinanet
from .recipe import Recipe, apply_recipe
from .united_perception import class_major_improved_baseline, efl_improved_baseline
from .united_perception_yolox import class_major_yolox_ip, efl_yolox_ip
from .yolox import megvii_yolox

# Family, a tensor that tells its files, and who knows them. Without --from the first one that fits.
_CONVERSIONS: tuple[tuple[str, str, Callable[[ForeignFile], Recipe]], ...] = (
    ("eql.detectron2", "roi_heads.box_predictor.cls_score.weight", eql_mask_rcnn),
    ("eqlv2", "roi_head.bbox_head.fc_cls.weight", mmdet_mask_rcnn),
    ("mmdet", "roi_head.bbox_head.fc_cls.weight", mmdet_mask_rcnn),
    ("mmdet", "bbox_head.retina_cls.weight", mmdet_retinanet),
    ("united-perception", "roi_head.cls_subnet_pred.weight", efl_improved_baseline),
    (
        "united-perception-main",
        "roi_head.cls_subnet_pred.weight",
        class_major_improved_baseline,
    ),
    ("united-perception", "roi_head.cls_preds.0.weight", efl_yolox_ip),
    ("united-perception-main", "roi_head.cls_preds.0.weight", class_major_yolox_ip),
    ("yolox", "backbone.backbone.stem.conv.conv.weight", megvii_yolox),
)
FAMILIES = tuple(dict.fromkeys(family for family, _, _ in _CONVERSIONS))
_REFUSED = {
    "bbox_head.atss_cls.weight": "ATSS of mmdet, whose head (one anchor, centreness, scales) "
    "EQLImprovedBaseline does not have",
    "roi_head.bbox_head.0.fc_cls.weight": "a cascade of mmdet, which is not converted",
}


def convert_checkpoint(source: str, destination: str, family: str | None = None) -> str:
    """Convert a checkpoint of other code into one for ``MODEL.WEIGHTS``.

    Args:
        source: file to convert, read only.
        destination: file to write, complete or not at all.
        family: one of :data:`FAMILIES`; None finds it out by the names of the tensors.

    Returns:
        What was dropped and why, and the command that evaluates the file, or that begins a
        training with it where it is a part of a model.

    Raises:
        InputError: the file cannot be read, is of no known model or has a tensor that does not
            belong to it; the destination is the source or does not end in .pth.
    """
    if not destination.endswith(".pth"):
        raise InputError(f"destination {destination!r}: Detectron2 needs a name that ends in .pth")
    if os.path.realpath(source) == os.path.realpath(destination):
        raise InputError(f"{destination!r} is the source itself: give another destination")
    file = read_foreign_file(source)
    recipe = _find_conversion(file, family)(file)
    weights, dropped = apply_recipe(recipe, file.state)
    with open_atomic(destination) as stream:
        # Without the heuristics names must be equal, not alike.
        torch.save({"model": weights, "matching_heuristics": False}, stream.buffer)
    if file.others:
        dropped["not part of the model"] = file.others
    if file.is_average:
        recipe.notes.append(
            "weights are the moving average in the file (ema), which its code evaluates; gradient "
            "sums are those of the training"
        )
    return _report(recipe, destination, len(weights), dropped)


def _find_conversion(file: ForeignFile, family: str | None) -> Callable[[ForeignFile], Recipe]:
    fitting = [(name, function) for name, key, function in _CONVERSIONS if key in file.state]
    if not fitting:
        for key, what in _REFUSED.items():
            if key in file.state:
                raise InputError(f"the file is of {what}")
        raise InputError(
            f"the file is of no model that is known here (its first tensors are "
            f"{', '.join(list(file.state)[:3])}): known are {', '.join(FAMILIES)}"
        )
    for name, function in fitting:
        if family in (None, name):
            return function
    raise InputError(
        f"the tensors are not named as in {family}: leave out --from or give {fitting[0][0]}"
    )


def _report(recipe: Recipe, destination: str, count: int, dropped: dict[str, list[str]]) -> str:
    lines = [f"{recipe.title}: {count} tensors written to {destination}"]
    for reason, names in dropped.items():
        more = ", ..." if len(names) > 3 else ""
        lines.append(f"dropped: {', '.join(sorted(names)[:3])}{more} ({len(names)}): {reason}")
    lines += [f"note: {note}" for note in recipe.notes]
    overrides = [word for key, value in recipe.overrides.items() for word in (key, str(value))]
    config_file = get_config_file(recipe.config_file)
    command = ["python", "-m", "eql_d2.engine", "--config-file", config_file]
    if recipe.is_complete:
        command.append("--eval-only")
        lines.append(
            "Without these keys the numbers are wrong (and DATASETS.TEST, if the data are your "
            "own):"
        )
    else:
        lines.append("Without these keys a training does not begin with what the weights compute:")
    lines.append(shlex.join([*command, "MODEL.WEIGHTS", destination, *overrides]))
    return "\n".join(lines)

"""Detectron2's checkpointer, with clear errors and a word on the gradient statistics."""

import logging
import os
import pickle
from typing import Any

from detectron2.checkpoint import DetectionCheckpointer

from ..exceptions import InputError
from .torchvision_resnet import for_resnets_of, is_torchvision_resnet

logger = logging.getLogger(__name__)


class EQLCheckpointer(DetectionCheckpointer):
    """``DetectionCheckpointer`` that refuses what it cannot load and says what it did load.

    It also loads the files of torchvision's ResNets, by their names, into Detectron2's ``ResNet``.

    Raises:
        InputError: on loading a file that is missing, cut off or damaged, or whose box classifier
            has one column per class and none for the background (eql.detectron2). Detectron2
            would leave such a classifier at its random start, with a warning; so do we where
            class-agnostic boxes and no masks leave open which kind it is.
    """

    def load(self, path: str, *args, **kwargs) -> dict[str, Any]:
        # Detectron2 takes options after a question mark: model.pth?matching_heuristics=True
        if path and "://" not in path and not os.path.isfile(path.split("?")[0]):
            raise InputError(f"checkpoint {path!r} does not exist: check MODEL.WEIGHTS")
        return super().load(path, *args, **kwargs)

    def _load_file(self, filename: str) -> dict[str, Any]:
        try:
            return super()._load_file(filename)
        except (RuntimeError, OSError, EOFError, pickle.UnpicklingError) as error:
            reason = str(error).strip().splitlines() or [type(error).__name__]
            raise InputError(
                f"checkpoint {filename!r} cannot be read ({reason[0]}): it may be cut off, copy it "
                "again or use an earlier one"
            ) from error

    def _load_model(self, checkpoint: dict[str, Any]):
        if is_torchvision_resnet(checkpoint["model"]):
            checkpoint["model"] = for_resnets_of(self.model, checkpoint["model"])
        weights, own = checkpoint["model"], self.model.state_dict()
        for name in own:
            if name.endswith("cls_score.weight") and name in weights:
                _refuse_without_background(name, weights, own)
        statistics = [
            name
            for name in own
            if name.endswith("statistics.pos_grad")
            and name in weights
            and weights[name].shape == own[name].shape
        ]
        incompatible = super()._load_model(checkpoint)
        if statistics:
            logger.info(f"Loaded gradient statistics from the checkpoint: {', '.join(statistics)}")
        return incompatible


def _refuse_without_background(name: str, weights: dict[str, Any], own: dict[str, Any]) -> None:
    rows, own_rows = weights[name].shape[0], own[name].shape[0]
    if rows != own_rows - 1:
        return
    # A model of one class less also has one row less; what else it has for each class tells.
    num_classes = _num_classes(name, weights)
    if num_classes is None:
        logger.warning(
            f"{name} of the checkpoint has {rows} columns but the model {own_rows}: it is left at "
            f"its random start, right for a model of {rows - 1} classes. If the file is of "
            f"{rows} classes without a background, append a column to weight and bias"
        )
    elif num_classes == rows:
        raise InputError(
            f"{name} of the checkpoint has {rows} columns, one for each class, but the model has "
            f"{own_rows}, the last for the background: append a column to the file's cls_score "
            "weight and bias (zeros will do for a loss that does not use it), or drop both to "
            "start afresh"
        )


def _num_classes(name: str, weights: dict[str, Any]) -> int | None:
    """Number of classes by the other parts of a file; None where it has none for each class."""
    boxes = weights.get(name.replace("cls_score", "bbox_pred"))
    if boxes is not None and boxes.shape[0] > 4:
        return boxes.shape[0] // 4
    statistics = f"{name.rpartition('cls_score')[0]}loss_cls.statistics.pos_grad"
    masks = [key for key in weights if key.endswith("mask_head.predictor.weight")]
    for key in (statistics, *masks):
        if key in weights and weights[key].shape[0] > 1:
            return weights[key].shape[0]
    return None

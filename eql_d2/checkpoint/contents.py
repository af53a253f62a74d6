"""What a checkpoint holds, against what the model needs.

Guards against a file that loads without complaint and is useless: of another architecture, of
random numbers where a training went astray (NaN), with sums of gradients that cannot be.
"""

import collections
import logging
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..exceptions import InputError

logger = logging.getLogger(__name__)

EMA = "model_ema"  # key of an averaged model beside "model"
_LEAST_SHARE = 0.5
_HALF_TYPES = (torch.float16, torch.bfloat16)
# Some files of ImageNet weights lack them, and a loss of ours does without.
_NOT_COUNTED = (
    *("num_batches_tracked", "running_mean", "running_var", "pixel_mean", "pixel_std"),
    *("statistics.pos_grad", "statistics.neg_grad"),
)
# Ends of names of what counts something: gradients, images, variances.
_NEVER_NEGATIVE = (
    "statistics.pos_grad",
    "statistics.neg_grad",
    "class_count",
    "image_frequency",
    "running_var",
)


def not_finite(content: Any, name: str = "") -> str | None:
    """Name of the first tensor in nested dicts and lists with a NaN or infinity, or on the meta
    device, which has no values; None if all are finite."""
    return next((path for path, value in _tensors(content, name) if not _is_finite(value)), None)


def _tensors(content: Any, name: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(content, Tensor):
        yield name, content
    elif isinstance(content, dict | list | tuple):
        items = content.items() if isinstance(content, dict) else enumerate(content)
        for key, value in items:
            yield from _tensors(value, f"{name}.{key}" if name else str(key))


def _is_finite(value: Tensor) -> bool:
    if not value.is_floating_point() or value.is_meta:
        return not value.is_meta
    # One pass and no copy; only where the sum itself overflows is each value looked at.
    total = value.sum(dtype=torch.float32 if value.dtype in _HALF_TYPES else None)
    return bool(total.isfinite()) or bool(value.isfinite().all())


def averaged_weights(average: Any, path: str) -> dict[str, Any]:
    """State dict of a model from that of an average of it.

    Args:
        average: of ``torch.optim.swa_utils.AveragedModel``.
        path: of its file, for the message.

    Raises:
        InputError: it is no such thing.
    """
    if not isinstance(average, dict) or "n_averaged" not in average:
        raise InputError(
            f"{EMA} of checkpoint {path!r} is no averaged model of PyTorch (AveragedModel): the "
            f"file is damaged or of another program, remove {EMA} from it to use its model"
        )
    return {
        name.removeprefix("module."): value
        for name, value in average.items()
        if name != "n_averaged"
    }


def check_values(weights: dict[str, Tensor], path: str) -> None:
    """Refuse weights that are not finite and statistics that are negative.

    Args:
        weights: state dict of a model.
        path: of its file, for the message.

    Raises:
        InputError: naming the first such tensor.
    """
    name = not_finite(weights)
    if name:
        raise InputError(
            f"{name} of checkpoint {path!r} holds NaN or infinity, or no values: its training had "
            "gone astray, use an earlier one"
        )
    for name, value in weights.items():
        if name.endswith(_NEVER_NEGATIVE) and (value < 0).any():
            raise InputError(
                f"{name} of checkpoint {path!r} holds negative values, which it never has: the "
                "file is damaged or was edited, use another"
            )


def check_fit(
    model: nn.Module, missing: Sequence[str], others: Sequence[str], path: str, evaluates: bool
) -> None:
    """Refuse a checkpoint of another model.

    To evaluate, at least half of the model's tensors must be in it, by name and shape. To train, at
    least half of them or of those of its ``backbone``: the file may be of ImageNet. Buffers of
    batch norm and statistics do not count.

    Args:
        model: into which the checkpoint was loaded.
        missing: names of its tensors that the checkpoint lacks, or has in another shape.
        others: names of tensors of the checkpoint that the model lacks.
        path: of the file, for the message.
        evaluates: whether the model is to be evaluated.

    Raises:
        InputError: less than that fits.
    """
    names = [name for name in model.state_dict() if not name.endswith(_NOT_COUNTED)]
    parts = {"": names}
    of_backbone = [name for name in names if name.startswith("backbone.")]
    if of_backbone and not evaluates:
        parts[" backbone"] = of_backbone
    lacking = set(missing)
    shares = []
    for what, part in parts.items():
        fitting = sum(name not in lacking for name in part)
        if fitting >= _LEAST_SHARE * len(part):
            return
        shares.append(f"{fitting} of {len(part)}{what} tensors")
    raise InputError(
        f"checkpoint {path!r} is of another model: only {' and '.join(shares)} of this "
        f"{type(model).__name__} are in it, at least half must be. It holds {_summary(others)} "
        f"that the model lacks, and lacks {_summary(missing)}: check config and weights"
    )


def _summary(names: Sequence[str]) -> str:
    """Names grouped by their first parts: ``backbone.* (265), head.* (8)``."""
    if not names:
        return "nothing"
    groups = collections.Counter(name.partition(".")[0] for name in names).most_common()
    shown = ", ".join(f"{group}.* ({count})" for group, count in groups[:4])
    return f"{shown}, ..." if len(groups) > 4 else shown


def check_background(weights: dict[str, Any], own: dict[str, Tensor]) -> None:
    """Refuse box classifiers that have one column per class and none for the background.

    Detectron2 would leave such a classifier at its random start, with a warning; so is done where
    class-agnostic boxes and no masks leave open which kind it is.

    Args:
        weights: state dict of the checkpoint.
        own: state dict of the model.

    Raises:
        InputError: there is one.
    """
    for name in own:
        if name.endswith("cls_score.weight") and name in weights:
            _refuse_without_background(name, weights, own)


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

"""Losses by name, for ``MODEL.EQL.LOSS``."""

from collections.abc import Callable

from detectron2.config import CfgNode
from detectron2.utils.registry import Registry
from torch import Tensor

from ..config import settings_of_the_trainer
from ..exceptions import InputError
from .base import ClassificationLoss

EQL_LOSS_REGISTRY = Registry("EQL_LOSS")
EQL_LOSS_REGISTRY.__doc__ = """
Classification losses by class name. A registered class is called as ``cls(cfg, num_classes)``: its
``__init__`` is :func:`detectron2.config.configurable`, by :meth:`ClassificationLoss.from_config`
or one of its own. One with a true attribute ``needs_image_frequency`` or ``needs_class_count`` gets
``image_frequency`` or ``class_count`` too.
"""


def build_loss(
    cfg: CfgNode,
    num_classes: int,
    image_frequency: Callable[[], Tensor] | None = None,
    class_count: Callable[[], Tensor] | None = None,
) -> ClassificationLoss:
    """Build the loss that ``MODEL.EQL.LOSS`` names, for C = ``num_classes`` classes.

    With ``MODEL.EQL.MONITOR`` it keeps gradient statistics even if it does not need them.

    Args:
        cfg: a yaml config.
        num_classes: C.
        image_frequency: returns the share of training images of each class, (C,), for the losses
            that need it.
        class_count: returns the training samples of each class, (C,), for those that need them.

    Raises:
        InputError: no loss of that name is registered.
    """
    name = cfg.MODEL.EQL.LOSS
    if name not in EQL_LOSS_REGISTRY:
        known = ", ".join(sorted(key for key, _ in EQL_LOSS_REGISTRY))
        raise InputError(f"MODEL.EQL.LOSS is {name!r}: no such loss, choose one of {known}")
    loss_class = EQL_LOSS_REGISTRY.get(name)
    of_data = {"image_frequency": image_frequency, "class_count": class_count}
    needed = {key: of_data[key] for key in of_data if getattr(loss_class, f"needs_{key}", False)}
    loss = loss_class(cfg, num_classes, **needed)
    loss.unread_settings = settings_of_the_trainer(cfg)
    if cfg.MODEL.EQL.MONITOR:
        loss.monitor()
    return loss

"""Losses by name, for ``MODEL.EQL.LOSS``."""

from detectron2.config import CfgNode
from detectron2.utils.registry import Registry

from ..exceptions import InputError
from .base import ClassificationLoss

EQL_LOSS_REGISTRY = Registry("EQL_LOSS")
EQL_LOSS_REGISTRY.__doc__ = """
Classification losses by class name. A registered class is called as ``cls(cfg, num_classes)``:
use :func:`detectron2.config.configurable` with ``from_config(cls, cfg, num_classes)``.
"""


def build_loss(cfg: CfgNode, num_classes: int) -> ClassificationLoss:
    """Build the loss that ``MODEL.EQL.LOSS`` names, for C = ``num_classes`` classes.

    With ``MODEL.EQL.MONITOR`` it keeps gradient statistics even if it does not need them.

    Raises:
        InputError: no loss of that name is registered.
    """
    name = cfg.MODEL.EQL.LOSS
    if name not in EQL_LOSS_REGISTRY:
        known = ", ".join(sorted(key for key, _ in EQL_LOSS_REGISTRY))
        raise InputError(f"MODEL.EQL.LOSS is {name!r}: no such loss, choose one of {known}")
    loss = EQL_LOSS_REGISTRY.get(name)(cfg, num_classes)
    if cfg.MODEL.EQL.MONITOR:
        loss.monitor()
    return loss

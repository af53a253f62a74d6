"""The loader of training data, with the samplers of this project."""

from collections.abc import Callable, Iterable

from detectron2.config import CfgNode
from detectron2.data import build_detection_train_loader

from .samplers import round_repeat_factors


def build_train_loader(cfg: CfgNode, mapper: Callable[[dict], dict]) -> Iterable:
    """Detectron2's loader, with the repeat factors rounded by ``DATALOADER.REPEAT_ROUNDING``.

    Raises:
        InputError: see :func:`round_repeat_factors`.
    """
    parts = build_detection_train_loader.from_config(cfg, mapper=mapper)
    parts["sampler"] = round_repeat_factors(parts["sampler"], cfg.DATALOADER.REPEAT_ROUNDING)
    return build_detection_train_loader(**parts)

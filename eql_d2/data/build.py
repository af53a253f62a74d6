"""The loader of training data, with the samplers of this project, resumable."""

from collections.abc import Callable, Iterable
from typing import Any

from detectron2.config import CfgNode, instantiate
from detectron2.data import build_detection_train_loader
from detectron2.utils.registry import locate
from omegaconf import DictConfig

from .resumable_loader import resumable
from .samplers import round_repeat_factors
from .validation.mask_kinds import check_mask_format


def build_train_loader(cfg: CfgNode, mapper: Callable[[dict], dict]) -> Iterable:
    """Detectron2's loader, with the repeat factors rounded by ``DATALOADER.REPEAT_ROUNDING``.

    Raises:
        InputError: see :func:`round_repeat_factors`.
    """
    parts = build_detection_train_loader.from_config(cfg, mapper=mapper)
    parts["sampler"] = round_repeat_factors(parts["sampler"], cfg.DATALOADER.REPEAT_ROUNDING)
    return build_resumable_train_loader(**parts)


def instantiate_train_loader(config: DictConfig) -> Iterable:
    """The same for the ``dataloader.train`` of a LazyConfig; one that has not Detectron2's function
    for a target is instantiated as it is."""
    target = config.get("_target_")
    if isinstance(target, str):
        target = locate(target)
    if target is build_detection_train_loader:
        config = config.copy()
        config._target_ = f"{__name__}.{build_resumable_train_loader.__name__}"
    return instantiate(config)


def build_resumable_train_loader(dataset: Any, **kwargs) -> Iterable:
    """``build_detection_train_loader``, whose loader can begin anywhere.

    Args:
        dataset, **kwargs: as Detectron2's, called without a config.

    Returns:
        A :class:`ResumableLoader`, or Detectron2's loader where that is not possible.

    Raises:
        InputError: the masks are not of the kind that the mapper takes.
    """
    if isinstance(dataset, list):
        check_mask_format(kwargs.get("mapper"), dataset)
    loader = build_detection_train_loader(dataset, **kwargs)
    return resumable(loader, dataset if isinstance(dataset, list) else None) or loader

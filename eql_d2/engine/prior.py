"""The prior of one-stage detectors: where it lets the classes begin, and one that fits the data."""

import logging
from collections.abc import Callable, Iterable, Sequence

from detectron2.config import CfgNode, instantiate
from detectron2.engine import HookBase
from detectron2.modeling import build_model
from omegaconf import DictConfig, OmegaConf
from torch import nn

from ..data import category_table, training_records
from ..exceptions import InputError
from ..modeling import has_regime, predict_regime
from ..random_numbers import random_numbers_given_back

logger = logging.getLogger(__name__)

_LAZY_KEY = "model.loss_cls.prior_prob"


class InitialRegimeHook(HookBase):
    """Says at the start of a training with which gradient ratio the classes begin, and warns if an
    equalized loss would begin as its baseline.

    In the main process only, and without a random number. The anchors of at most 1000 images are
    labelled: 40 ms each on a CPU with the anchors of RetinaNet at 800 pixels. Nothing is said when
    a training is resumed, of other models than one-stage detectors, or of loaders that are not
    Detectron2's. A training never fails because of it: what goes wrong becomes one warning.

    Args:
        groups: of each class, a key of ``GROUP_NAMES``.
    """

    def __init__(self, groups: Sequence[str]):
        self._groups = groups

    def before_train(self) -> None:
        trainer = getattr(self.trainer, "_trainer", self.trainer)
        model = getattr(trainer.model, "module", trainer.model)
        data = training_records(trainer.data_loader)
        if self.trainer.start_iter > 0 or data is None or not has_regime(model):
            return
        try:
            regime = predict_regime(model, data, self._groups)
        except Exception as error:
            logger.warning(f"No prediction of where the classes begin: {error!r}")
            return
        logger.info(regime)
        if regime.is_baseline:
            logger.warning(regime.warning)


def find_prior(
    build: Callable[[], nn.Module], build_loader: Callable[[], Iterable], names: str | Sequence[str]
) -> float:
    """Prior with which the median class of the rarest group begins at the ratio that proved best.

    Random numbers that building draws are given back: a training with this prior is the training
    with the same number in its config. With several processes a collective.

    Args:
        build: the detector, of any prior.
        build_loader: of its training data.
        names: of its training data.

    Raises:
        InputError: the detector has no loss of the focal family, or the loader is not Detectron2's.
    """
    with random_numbers_given_back():
        model, loader = build(), build_loader()
    if not has_regime(model):
        raise InputError(
            "a prior is found for one-stage detectors with a focal loss, and "
            f"{type(model).__name__} is none: set MODEL.EQL.PRIOR_PROB to a number instead of auto"
        )
    data = training_records(loader)
    if data is None:
        raise InputError(
            "a prior is found in data that Detectron2's loader loads, and these are none: set "
            "MODEL.EQL.PRIOR_PROB to a number instead of auto"
        )
    regime = predict_regime(model, data, category_table(names).groups.groups)
    logger.info(f"Prior found in the training data: {regime.suggested_prior:.3g}")
    return regime.suggested_prior


def with_found_prior(cfg: CfgNode, build_train_loader: Callable[[CfgNode], Iterable]) -> CfgNode:
    """The config with :func:`find_prior` in the place of "auto". Collective."""
    if cfg.MODEL.EQL.PRIOR_PROB != "auto":
        return cfg
    found, on_cpu = cfg.clone(), without_auto_prior_yaml(cfg)
    on_cpu.defrost()
    on_cpu.MODEL.DEVICE = "cpu"
    found.defrost()
    found.MODEL.EQL.PRIOR_PROB = find_prior(
        lambda: build_model(on_cpu), lambda: build_train_loader(cfg), cfg.DATASETS.TRAIN
    )
    found.freeze()
    return found


def without_auto_prior_yaml(cfg: CfgNode) -> CfgNode:
    """A copy for evaluation and checks, which need no prior: the weights have the bias."""
    cfg = cfg.clone()
    if cfg.MODEL.EQL.PRIOR_PROB == "auto":
        cfg.defrost()
        cfg.MODEL.EQL.PRIOR_PROB = None
    return cfg


def with_found_prior_lazy(
    cfg: DictConfig, build_train_loader: Callable[[DictConfig], Iterable] = instantiate
) -> DictConfig:
    """The same for a LazyConfig in which ``model.loss_cls.prior_prob`` is "auto"; the loader is
    built from its ``dataloader.train``."""
    if OmegaConf.select(cfg, _LAZY_KEY) != "auto":
        return cfg
    prior = find_prior(
        lambda: instantiate(without_auto_prior(cfg).model),
        lambda: build_train_loader(cfg.dataloader.train),
        cfg.dataloader.train.dataset.names,
    )
    return _with_prior(cfg, prior)


def without_auto_prior(cfg: DictConfig) -> DictConfig:
    """The same for a LazyConfig."""
    return _with_prior(cfg, None) if OmegaConf.select(cfg, _LAZY_KEY) == "auto" else cfg


def _with_prior(cfg: DictConfig, prior: float | None) -> DictConfig:
    cfg = cfg.copy()
    OmegaConf.update(cfg, _LAZY_KEY, prior)
    return cfg

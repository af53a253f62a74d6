"""A config as it is trained: filled in is what the processes and the training data decide."""

import logging
from collections.abc import Callable, Iterable

from detectron2.config import CfgNode, instantiate
from detectron2.utils.comm import get_world_size
from omegaconf import DictConfig, OmegaConf

from .epochs import scaled, with_iterations, with_iterations_lazy
from .prior import with_found_prior, with_found_prior_lazy

logger = logging.getLogger(__name__)


def resolve(cfg: CfgNode, build_train_loader: Callable[[CfgNode], Iterable]) -> CfgNode:
    """The config for the processes at hand (``SOLVER.REFERENCE_WORLD_SIZE``), with iterations for
    epochs and a number for the prior "auto". Collective.

    The training data are loaded at most once for this.

    Raises:
        InputError: see :func:`with_iterations` and :func:`find_prior`.
    """
    build_train_loader = _built_once(build_train_loader)
    cfg = with_iterations(cfg, build_train_loader)
    # Before the next loader, whose batch the processes must share out evenly.
    cfg = scaled(cfg, get_world_size())
    solver = cfg.SOLVER
    _warn_of_warmup("SOLVER.WARMUP_ITERS", solver.WARMUP_ITERS, solver.MAX_ITER)
    return with_found_prior(cfg, build_train_loader)


def resolve_lazy(cfg: DictConfig) -> DictConfig:
    """The same for a LazyConfig, which has no ``REFERENCE_WORLD_SIZE``."""
    build_train_loader = _built_once(instantiate)
    cfg = with_iterations_lazy(cfg, build_train_loader)
    share = OmegaConf.select(cfg, "lr_multiplier.warmup_length", default=0)
    _warn_of_warmup("lr_multiplier.warmup_length", share, 1)
    return with_found_prior_lazy(cfg, build_train_loader)


def _warn_of_warmup(key: str, length: float, whole: float) -> None:
    if length > whole / 2:
        of = f"of {whole} iterations" if whole > 1 else "of the whole training"
        logger.warning(
            f"{key} is {length} {of}: for most of the training, or all of it, the learning rate "
            f"stays below the one that is set; give less, for example {whole / 20:.3g}"
        )


def _built_once(build: Callable[..., Iterable]) -> Callable[..., Iterable]:
    """The loader of the first call at each: configs of one training load the same data."""
    built = []

    def build_or_take(cfg):
        if not built:
            built.append(build(cfg))
        return built[0]

    return build_or_take

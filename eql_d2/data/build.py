"""The loader of training data, with the samplers of this project, resumable."""

from collections.abc import Callable, Iterable
from typing import Any

from detectron2.config import CfgNode, instantiate
from detectron2.data import DatasetFromList, build_detection_train_loader
from detectron2.data.samplers import RepeatFactorTrainingSampler
from detectron2.utils.registry import locate
from omegaconf import DictConfig
from torch.utils.data import Sampler

from ..exceptions import InputError
from .copy_paste import CopyPaste, CopyPasteDataset
from .copy_paste.dataset import check_copy_paste_masks
from .dataset_mapper import DatasetMapper
from .loader_checks import check_training_records
from .mosaic import MosaicDataset, MosaicMixup
from .resumable_loader import resumable
from .samplers import round_repeat_factors
from .transforms.arguments import check_argument


def build_train_loader(cfg: CfgNode, mapper: Callable[[dict], dict]) -> Iterable:
    """Detectron2's loader, with the repeat factors rounded by ``DATALOADER.REPEAT_ROUNDING``, and
    with mosaic and mixup if ``INPUT.MOSAIC.ENABLED`` or with copy-paste if
    ``INPUT.COPY_PASTE.ENABLED``.

    Raises:
        InputError: see :func:`round_repeat_factors`, :func:`build_mosaic_train_loader` and
            :func:`build_copy_paste_train_loader`.
    """
    parts = build_detection_train_loader.from_config(cfg, mapper=mapper)
    parts["sampler"] = round_repeat_factors(parts["sampler"], cfg.DATALOADER.REPEAT_ROUNDING)
    if cfg.INPUT.COPY_PASTE.ENABLED:
        return build_copy_paste_train_loader(**parts, copy_paste=copy_paste_of(cfg))
    if not cfg.INPUT.MOSAIC.ENABLED:
        return build_resumable_train_loader(**parts)
    arguments = mosaic_arguments(cfg)
    parts.pop("aspect_ratio_grouping")
    return build_mosaic_train_loader(**parts, **arguments)


def mosaic_arguments(cfg: CfgNode) -> dict[str, Any]:
    """What a yaml config says of a mosaic, as arguments of :func:`build_mosaic_train_loader`.

    Raises:
        InputError: a value is wrong, or images are to be grouped by their shape.
    """
    if cfg.DATALOADER.ASPECT_RATIO_GROUPING:
        raise InputError(
            "DATALOADER.ASPECT_RATIO_GROUPING is True, but the images of a mosaic are square, and "
            "INPUT.MOSAIC.UNTIL counts them in the order of the sampler: set it to False"
        )
    settings = cfg.INPUT.MOSAIC
    _check_use(settings.UNTIL, settings.PARTNERS)
    names = ("SIZE", "DEGREES", "SCALE", "SHEAR", "TRANSLATE", "MIXUP_PROB", "MIXUP_SCALE")
    return {
        "mosaic": MosaicMixup(**{name.lower(): settings[name] for name in names}),
        "max_iter": cfg.SOLVER.MAX_ITER,
        "until": settings.UNTIL,
        "partners": settings.PARTNERS,
    }


def build_mosaic_train_loader(
    dataset: list[dict],
    *,
    mapper: DatasetMapper,
    mosaic: MosaicMixup,
    max_iter: int,
    total_batch_size: int,
    sampler: Sampler | None = None,
    num_workers: int = 0,
    collate_fn: Callable[[list], Any] | None = None,
    until: float = 0.95,
    partners: str = "uniform",
) -> Iterable:
    """A loader of images with mosaic and mixup, for ``dataloader.train`` of a LazyConfig.

    Args:
        dataset, mapper, total_batch_size, sampler, num_workers, collate_fn: as for Detectron2's
            ``build_detection_train_loader``, and see :class:`MosaicDataset`. Images are not grouped
            by their shape, for a mosaic is square.
        mosaic: how images are mixed.
        max_iter: iterations of the training.
        until: share of them that mixes; the default is 285 of 300 epochs, the YOLOX recipe of EFL.
        partners: how the four images that go with one are drawn: "uniform", as in the official
            code, or, ours, "sampler", by the repeat factors of the sampler if it has any.

    Raises:
        InputError: an argument is wrong; see :class:`MosaicDataset`, and
            :func:`build_resumable_train_loader`.
    """
    _check_use(until, partners)
    check_training_records(mapper, dataset)
    weights = None
    if partners == "sampler" and isinstance(sampler, RepeatFactorTrainingSampler):
        weights = sampler._int_part + sampler._frac_part
    num_mixed = round(until * max_iter) * total_batch_size
    return build_resumable_train_loader(
        MosaicDataset(DatasetFromList(dataset, copy=False), mapper, mosaic, num_mixed, weights),
        mapper=None,
        sampler=sampler,
        total_batch_size=total_batch_size,
        aspect_ratio_grouping=False,
        num_workers=num_workers,
        collate_fn=collate_fn,
    )


def _check_use(until: float, partners: str) -> None:
    name = "of build_mosaic_train_loader (INPUT.MOSAIC.{})".format
    fix = "the share of the iterations that mixes, 0 to 1"
    check_argument(f"until {name('UNTIL')}", until, lambda x: 0 <= x <= 1, fix)
    fix = "'uniform' (official) or 'sampler'"
    check_argument(
        f"partners {name('PARTNERS')}", partners, ("uniform", "sampler").__contains__, fix
    )


def copy_paste_of(cfg: CfgNode) -> CopyPaste:
    """What a yaml config says of copy-paste.

    Raises:
        InputError: a value is wrong, or the config asks for what does not go with it.
    """
    if cfg.INPUT.MOSAIC.ENABLED:
        raise InputError(
            "INPUT.COPY_PASTE.ENABLED and INPUT.MOSAIC.ENABLED are True: an image is either mixed "
            "or pasted on, set one of them to False"
        )
    check_copy_paste_masks(cfg.MODEL.MASK_ON, cfg.INPUT.MASK_FORMAT, cfg.MODEL.KEYPOINT_ON)
    names = ("PROB", "INSTANCES", "SCALE", "REPEAT_THRESHOLD")
    return CopyPaste(**{name.lower(): cfg.INPUT.COPY_PASTE[name] for name in names})


def build_copy_paste_train_loader(
    dataset: list[dict],
    *,
    mapper: DatasetMapper,
    copy_paste: CopyPaste,
    total_batch_size: int,
    sampler: Sampler | None = None,
    aspect_ratio_grouping: bool = True,
    num_workers: int = 0,
    collate_fn: Callable[[list], Any] | None = None,
) -> Iterable:
    """A loader of images with rare instances pasted on them, for ``dataloader.train`` of a
    LazyConfig.

    Args:
        dataset, mapper: see :class:`CopyPasteDataset`.
        copy_paste: how often, what and how large.
        total_batch_size, sampler, aspect_ratio_grouping, num_workers, collate_fn: as for
            Detectron2's ``build_detection_train_loader``.

    Raises:
        InputError: see :class:`CopyPasteDataset`.
    """
    return build_resumable_train_loader(
        CopyPasteDataset(dataset, mapper, copy_paste),
        mapper=None,
        sampler=sampler,
        total_batch_size=total_batch_size,
        aspect_ratio_grouping=aspect_ratio_grouping,
        num_workers=num_workers,
        collate_fn=collate_fn,
    )


def instantiate_train_loader(config: DictConfig) -> Iterable:
    """The same for the ``dataloader.train`` of a LazyConfig; one that has not Detectron2's function
    for a target, as :func:`build_mosaic_train_loader`, is instantiated as it is."""
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
        InputError: an image is missing, or the masks are not of the kind that the mapper takes.
    """
    if isinstance(dataset, list):
        check_training_records(kwargs.get("mapper"), dataset)
    loader = build_detection_train_loader(dataset, **kwargs)
    return resumable(loader, dataset if isinstance(dataset, list) else None) or loader

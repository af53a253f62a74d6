"""Checks of several keys of INPUT together."""

from collections.abc import Callable, Iterator

from detectron2.config import CfgNode
from PIL import Image

from ...data.build import copy_paste_of, mosaic_arguments
from ...data.transforms import build_augmentation
from ...refusals import refusal
from ...tasks import DETECTION, task_of
from .rules import number, several, whole

# A check, and the keys that it reads
Combination = tuple[Callable[[CfgNode, bool], Iterator[str]], tuple[str, ...]]


def _sizes(cfg: CfgNode, training: bool) -> Iterator[str]:
    sizes = cfg.INPUT.MIN_SIZE_TRAIN
    if cfg.INPUT.MIN_SIZE_TRAIN_SAMPLING == "range" and len(sizes) != 2:
        yield (
            f"INPUT.MIN_SIZE_TRAIN is {sizes} and MIN_SIZE_TRAIN_SAMPLING range: give the smallest "
            "and the largest size, or set the sampling to choice"
        )
    if cfg.INPUT.MIN_SIZE_TEST > 0 and cfg.INPUT.MAX_SIZE_TEST < 1:
        yield (
            f"INPUT.MAX_SIZE_TEST is {cfg.INPUT.MAX_SIZE_TEST}: give at least 1, or set "
            "MIN_SIZE_TEST to 0 for images as they are"
        )


def _channels(cfg: CfgNode, training: bool) -> Iterator[str]:
    image_format = cfg.INPUT.FORMAT
    try:
        channels = 3 if image_format in ("BGR", "YUV-BT.601") else Image.getmodebands(image_format)
    except KeyError:
        yield f"INPUT.FORMAT is {image_format!r}: give one of 'BGR', 'RGB', 'L', 'YUV-BT.601'"
        return
    lengths = len(cfg.MODEL.PIXEL_MEAN), len(cfg.MODEL.PIXEL_STD)
    if lengths != (channels, channels):
        yield (
            f"MODEL.PIXEL_MEAN has {lengths[0]} values, PIXEL_STD {lengths[1]}: INPUT.FORMAT "
            f"{image_format} has {channels} channels, give a value for each"
        )


def _crop(cfg: CfgNode, training: bool) -> Iterator[str]:
    kind, size = cfg.INPUT.CROP.TYPE, cfg.INPUT.CROP.SIZE
    if not cfg.INPUT.CROP.ENABLED:
        return
    is_pixels = kind.startswith("absolute")
    side = whole(1) if is_pixels else number(above=0, most=1)
    if not several(side, lengths=(2,)).holds(size):
        what = "pixels, whole numbers" if is_pixels else "share of the image, above 0 to 1"
        yield f"INPUT.CROP.SIZE is {size}, TYPE {kind}: give height and width as {what}"


def _mosaic(cfg: CfgNode, training: bool) -> Iterator[str]:
    mosaic, architecture = cfg.INPUT.MOSAIC, cfg.MODEL.META_ARCHITECTURE
    if not training or not mosaic.ENABLED:
        return
    if task_of(architecture) is not DETECTION or architecture == "PanopticFPN":
        yield (
            f"INPUT.MOSAIC.ENABLED is True, but {architecture} is trained on label maps or whole "
            "images, which are not mixed: set it to False"
        )
    yield from refusal(mosaic_arguments, cfg)


def _copy_paste(cfg: CfgNode, training: bool) -> Iterator[str]:
    architecture = cfg.MODEL.META_ARCHITECTURE
    if not training or not cfg.INPUT.COPY_PASTE.ENABLED:
        return
    if task_of(architecture) is not DETECTION or architecture == "PanopticFPN":
        yield (
            f"INPUT.COPY_PASTE.ENABLED is True, but {architecture} is trained on label maps or "
            "whole images, which have no instances to paste: set it to False"
        )
    yield from refusal(copy_paste_of, cfg)


def _augmentations(cfg: CfgNode, training: bool) -> Iterator[str]:
    architecture = cfg.MODEL.META_ARCHITECTURE
    for key in ("HSV", "LONGEST_EDGE_TRAIN"):
        if training and any(cfg.INPUT[key]) and task_of(architecture) is not DETECTION:
            yield f"INPUT.{key} is {cfg.INPUT[key]}: {architecture} does not read it, leave it out"
    yield from refusal(build_augmentation, cfg, training, ())


INPUT_COMBINATIONS: tuple[Combination, ...] = (
    (_sizes, ("INPUT.M",)),
    (_channels, ("INPUT.FORMAT", "MODEL.PIXEL_")),
    (_crop, ("INPUT.CROP.",)),
    (_mosaic, ("INPUT.MOSAIC.",)),
    (_copy_paste, ("INPUT.COPY_PASTE.",)),
    (_augmentations, ("INPUT.HSV", "INPUT.LONGEST_EDGE_TRAIN")),
)

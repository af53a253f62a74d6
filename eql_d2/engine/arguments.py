"""Command line of ``train_net.py``: Detectron2's options and those that name own data."""

import argparse
import sys

from detectron2.config import CfgNode
from detectron2.engine import default_argument_parser
from omegaconf import DictConfig, OmegaConf

from ..data import Limits
from ..data.datasets.own_data import with_names
from ..exceptions import InputError


class _Parser(argparse.ArgumentParser):
    """Takes ``--dataset JSON IMAGES``, too."""

    def parse_known_args(self, args=None, namespace=None):
        return super().parse_known_args(
            with_names(sys.argv[1:] if args is None else args), namespace
        )


def get_parser(prog: str = "train_net.py") -> argparse.ArgumentParser:
    """Detectron2's parser with the options of :func:`own_data_of`.

    Args:
        prog: name of the command, in its help and, as an attribute of the arguments, before errors.
    """
    detectron2 = default_argument_parser()
    parser = _Parser(
        prog=prog,
        parents=[detectron2],
        conflict_handler="resolve",  # of --help
        epilog=detectron2.epilog,
        formatter_class=detectron2.formatter_class,
    )
    parser.set_defaults(prog=prog)
    parser.add_argument(
        "--dataset",
        nargs=3,
        action="append",
        default=[],
        metavar=("[NAME]", "JSON", "IMAGES"),
        help="register own data: a COCO- or LVIS-format file and its image folder; repeatable. "
        "Without a NAME it is that of the file: train.json is 'train'. Give it, and those below, "
        "before the config overrides. In a yaml config: DATASETS.JSON",
    )
    parser.add_argument(
        "--long-tail",
        nargs=5,
        action="append",
        default=[],
        metavar=("NAME", "JSON", "IMAGES", "FACTOR", "SEED"),
        help="the same with a long tail cut from it, for training: whole images are left out until "
        "the classes, in an order that SEED chooses, are in fewer and fewer images, the first in "
        "FACTOR times as many as the last (as nearly as classes that share images allow)",
    )
    parser.add_argument(
        "--class-folder",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "FOLDER"),
        help="the same for image classification: a folder with one folder of images for each "
        "class. In a yaml config: DATASETS.CLASS_FOLDERS",
    )
    parser.add_argument(
        "--long-tail-folder",
        nargs=4,
        action="append",
        default=[],
        metavar=("NAME", "FOLDER", "FACTOR", "SEED"),
        help="the same with a long tail cut from it: the classes, in an order that SEED chooses, "
        "keep fewer and fewer images, the first FACTOR times as many as the last",
    )
    parser.add_argument(
        "--mask-folder",
        nargs=4,
        action="append",
        default=[],
        metavar=("NAME", "IMAGES", "MASKS", "CLASSES"),
        help="the same for segmentation: images, label maps (PNG of class indices, 255 ignored) "
        "and a text file with one class name a line. In a yaml config: DATASETS.MASK_FOLDERS",
    )
    parser.add_argument(
        "--allow-outside-paths",
        action="store_true",
        help="let files of own data name images outside of their image folder (.. or absolute "
        "paths): only for data that you trust",
    )
    return parser


def own_data_of(args: argparse.Namespace) -> dict[str, tuple[tuple, ...]]:
    """Data sets that the options name: entries of ``DATASETS.JSON``, ``CLASS_FOLDERS`` and
    ``MASK_FOLDERS``, in the order of the arguments of ``register_own_data``.

    Raises:
        InputError: a factor is no number or a seed no integer.
    """
    return {
        "JSON": (
            *map(tuple, args.dataset),
            *(_long_tail("--long-tail", words) for words in args.long_tail),
        ),
        "CLASS_FOLDERS": (
            *map(tuple, args.class_folder),
            *(_long_tail("--long-tail-folder", words) for words in args.long_tail_folder),
        ),
        "MASK_FOLDERS": tuple(map(tuple, args.mask_folder)),
    }


def limits_of(cfg: CfgNode | DictConfig, args: argparse.Namespace) -> Limits:
    """Limits of own data, by a config of either kind and the options."""
    if isinstance(cfg, CfgNode):
        max_image_pixels = cfg.INPUT.MAX_IMAGE_PIXELS
    else:
        key, default = "dataloader.train.mapper.max_image_pixels", Limits().max_image_pixels
        max_image_pixels = OmegaConf.select(cfg, key, default=default)
    return Limits(max_image_pixels, args.allow_outside_paths)


def _long_tail(option: str, words: list[str]) -> tuple:
    *names, factor, seed = words
    try:
        return (*names, float(factor), int(seed))
    except ValueError as error:
        raise InputError(
            f"{option} {' '.join(words)}: the last two are a factor and an integer seed, for "
            "example 100 0"
        ) from error

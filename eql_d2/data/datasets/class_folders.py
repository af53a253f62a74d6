"""The user's own images for classification: one folder for each class, with a long tail on wish."""

import glob
import math
import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog
from torchvision.datasets.folder import IMG_EXTENSIONS, find_classes, has_file_allowed_extension

from ...exceptions import InputError
from .checks import check_name, read_class_file

# Optional, beside the class folders: one class name a line
CLASS_FILE = "classes.txt"
# The generator whose stream NumPy has promised never to change.
_Random = np.random.RandomState


class LongTail(NamedTuple):
    """Which long tail to cut from a data set, profile "exp": see :func:`long_tail_counts`.

    Attributes:
        factor: images of the most frequent class over those of the rarest, at least 1.
        seed: chooses the order of the classes and the images that stay, 0 or more.
    """

    factor: float
    seed: int


def register_class_folder(name: str, folder: str, *, long_tail: LongTail | None = None) -> None:
    """Register ``folder/<class name>/<images>``, after checking it.

    Classes are the folders, ordered by name, or the lines of ``folder/classes.txt`` if there is
    one, of which some may have no folder. Images are the files in the folders that end in .jpg,
    .png or another common image format. Hidden files, and folders further down, do not count. Test
    data may lack images, or the folder, of some classes: see :func:`adopt_training_classes`.

    Args:
        name: name for ``DATASETS.TRAIN`` and ``DATASETS.TEST``.
        folder: path of the folder with the class folders.
        long_tail: keep only part of the images, by an exponential profile. The same arguments keep
            the same images.

    Raises:
        InputError: the name is taken; the folder is missing or has no class folder or no image; a
            folder is not in ``classes.txt``; the factor is below 1 or the seed negative.
    """
    check_name(name)
    classes, files = _find_images(name, folder, long_tail)
    has_class_file = os.path.exists(os.path.join(folder, CLASS_FILE))
    empty = [class_name for class_name, paths in zip(classes, files) if not paths]
    counts = [len(paths) for paths in files]
    DatasetCatalog.register(name, lambda: read_class_folder(name, folder, long_tail)[1])
    MetadataCatalog.get(name).set(
        image_root=folder,
        evaluator_type="classification",
        thing_classes=classes,
        class_image_count=[{"id": i, "image_count": n} for i, n in enumerate(counts, start=1)],
        num_annotated_images=sum(counts),
        # As training data these are a mistake, unless they are named on purpose.
        empty_classes=[] if has_class_file else empty,
    )


def read_class_folder(
    name: str, folder: str, long_tail: LongTail | None = None
) -> tuple[list[str], list[dict]]:
    """Names of the classes, and the records in Detectron2's standard format, ordered by class and
    file name; registers nothing.

    Raises:
        InputError: as for :func:`register_class_folder`.
    """
    classes, files = _find_images(name, folder, long_tail)
    labelled = [(path, label) for label, paths in enumerate(files) for path in paths]
    return classes, [
        {"file_name": path, "image_id": i, "annotations": [{"category_id": label}]}
        for i, (path, label) in enumerate(labelled)
    ]


def long_tail_counts(class_sizes: Sequence[int], long_tail: LongTail) -> list[int]:
    r"""How many images each class keeps by the profile "exp".

    The seed gives each class a rank k, 0 to C - 1. With n images in the largest class, the class of
    rank k keeps

    .. math:: \max(1, \mathrm{round}(n \cdot factor^{-k / (C - 1)}))

    images, or all that it has if they are fewer.

    Args:
        class_sizes: images of each class, (C,).
        long_tail: factor and seed.

    Returns:
        (C,), in the order of `class_sizes`.
    """
    ranks = _Random(long_tail.seed).permutation(len(class_sizes))
    largest, last_rank = max(class_sizes), max(len(class_sizes) - 1, 1)
    return [
        min(size, max(1, round(largest * long_tail.factor ** (-int(rank) / last_rank))))
        for size, rank in zip(class_sizes, ranks)
    ]


def _cut_long_tail(name: str, files: list[list[str]], long_tail: LongTail) -> list[list[str]]:
    if not 1 <= long_tail.factor < math.inf:
        raise InputError(
            f"data set {name!r}: long-tail factor is {long_tail.factor}: give the images of the "
            "most frequent class over those of the rarest, 1 or more"
        )
    if not 0 <= long_tail.seed < 2**32:
        raise InputError(
            f"data set {name!r}: long-tail seed is {long_tail.seed}: give 0 to 2^32 - 1"
        )
    counts = long_tail_counts([len(paths) for paths in files], long_tail)
    kept = []
    for label, (paths, count) in enumerate(zip(files, counts)):
        # Each class draws from a stream of its own: one image more elsewhere changes nothing here.
        order = _Random([long_tail.seed, label]).permutation(len(paths))
        kept.append([paths[i] for i in sorted(order[:count])])
    return kept


def _find_images(
    name: str, folder: str, long_tail: LongTail | None
) -> tuple[list[str], list[list[str]]]:
    """Names of the classes and, for each, the paths of its images."""
    where = f"data set {name!r}: folder {folder!r}"
    if not os.path.isdir(folder):
        raise InputError(f"{where} does not exist: check the path")
    try:
        folders = [found for found in find_classes(folder)[0] if not found.startswith(".")]
    except FileNotFoundError:  # there is no folder in it
        folders = []
    classes = folders
    if os.path.exists(os.path.join(folder, CLASS_FILE)):
        classes = read_class_file(name, os.path.join(folder, CLASS_FILE))
        for unknown in sorted(set(folders) - set(classes)):
            raise InputError(f"{where}: class folder {unknown!r} is not in its {CLASS_FILE}")
    files = [_images_of(os.path.join(folder, class_name)) for class_name in classes]
    if not any(files):
        raise InputError(
            f"{where} has no class folder with an image ({', '.join(IMG_EXTENSIONS)}): put the "
            "images of each class into a folder with its name"
        )
    return classes, files if long_tail is None else _cut_long_tail(name, files, long_tail)


def _images_of(folder: str) -> list[str]:
    """Paths in order; none if there is no such folder."""
    files = sorted(glob.glob("*", root_dir=folder))
    images = filter(lambda file: has_file_allowed_extension(file, IMG_EXTENSIONS), files)
    return [os.path.join(folder, file) for file in images]

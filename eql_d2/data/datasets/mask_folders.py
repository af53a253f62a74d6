"""The user's own data for segmentation: a folder of images and one of label maps."""

import glob
import os

from detectron2.data import DatasetCatalog, MetadataCatalog

from ...exceptions import InputError
from .checks import check_name, read_class_file

_IMAGES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
IGNORE_LABEL = 255


def register_mask_folder(name: str, image_folder: str, mask_folder: str, class_file: str) -> None:
    """Register images with label maps, after checking that they belong together.

    The label map of ``image_folder/x.jpg`` is ``mask_folder/x.png``: one 8-bit channel, or a
    palette, of class indices; 255 is ignored. The labels themselves are checked when they are read.

    Args:
        name: name for ``DATASETS.TRAIN`` and ``DATASETS.TEST``.
        image_folder, mask_folder: paths of the two folders.
        class_file: text file with one class name a line, in the order of the indices.

    Raises:
        InputError: the name is taken; a folder or the file is missing; there is no image, or not
            one label map for each; the class names are none, more than 255, or not unique.
    """
    check_name(name)
    classes = read_class_file(name, class_file, most=IGNORE_LABEL)
    load_mask_folder(name, image_folder, mask_folder)
    DatasetCatalog.register(name, lambda: load_mask_folder(name, image_folder, mask_folder))
    MetadataCatalog.get(name).set(
        image_root=image_folder,
        sem_seg_root=mask_folder,
        evaluator_type="sem_seg",
        stuff_classes=classes,
        ignore_label=IGNORE_LABEL,
    )


def load_mask_folder(name: str, image_folder: str, mask_folder: str) -> list[dict]:
    """Records in Detectron2's standard format, ordered by file name.

    Raises:
        InputError: as for :func:`register_mask_folder`.
    """
    images = _files_by_stem(name, image_folder, _IMAGES)
    masks = _files_by_stem(name, mask_folder, (".png",))
    for stem in images.keys() ^ masks.keys():
        present, absent = ("image", "label map") if stem in images else ("label map", "image")
        raise InputError(
            f"data set {name!r}: {present} {(images | masks)[stem]!r} has no {absent} of its name: "
            f"there are {len(images)} images in {image_folder!r} and {len(masks)} label maps in "
            f"{mask_folder!r}"
        )
    return [
        {"file_name": path, "sem_seg_file_name": masks[stem], "image_id": stem}
        for stem, path in images.items()
    ]


def _files_by_stem(name: str, folder: str, extensions: tuple[str, ...]) -> dict[str, str]:
    if not os.path.isdir(folder):
        raise InputError(f"data set {name!r}: folder {folder!r} does not exist: check the path")
    found = {}
    for file in sorted(glob.glob("*", root_dir=folder)):
        stem, extension = os.path.splitext(file)
        if extension.lower() not in extensions:
            continue
        if stem in found:
            raise InputError(
                f"data set {name!r}: {found[stem]!r} and {file!r} have the same name: rename one"
            )
        found[stem] = os.path.join(folder, file)
    if not found:
        raise InputError(
            f"data set {name!r}: folder {folder!r} has no file with {', '.join(extensions)}"
        )
    return found

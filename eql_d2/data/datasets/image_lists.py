"""Data sets for classification by list files: one image a line, its path and its label.

``ImageNet_LT_train.txt`` and its kin, as the authors of the data sets and of
github.com/facebookresearch/classifier-balancing publish them, go by name under
``DETECTRON2_DATASETS``::

    imagenet_lt/ImageNet_LT_{train,val,test}.txt    imagenet/{train,val}/<class>/*.JPEG
    places_lt/Places_LT_{train,val,test}.txt        places365/{train,val}/<class>/*.jpg
    inaturalist18/iNaturalist18_{train,val}.txt     inaturalist18/train_val2018/...

A path in a list is taken from the folder ``imagenet``, ``places365`` or ``inaturalist18``; there
are lists of Places-LT with other paths than these (``data_256/a/...``), for which the images must
lie as the list says.
"""

import os

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog

from ...exceptions import InputError
from .checks import check_files, check_name

# name: (start of the list files, folder of the images, number of classes, splits)
_BUILTIN = {
    "imagenet_lt": ("imagenet_lt/ImageNet_LT", "imagenet", 1000, ("train", "val", "test")),
    "places_lt": ("places_lt/Places_LT", "places365", 365, ("train", "val", "test")),
    "inaturalist18": ("inaturalist18/iNaturalist18", "inaturalist18", 8142, ("train", "val")),
}


def register_image_list(name: str, list_file: str, image_root: str, *, num_classes: int) -> None:
    """Register a list of one's own, after checking all of it.

    Classes are named by their labels, "0" to "C-1".

    Args:
        name: name for ``DATASETS.TRAIN`` and ``DATASETS.TEST``.
        list_file: text file with lines "path label".
        image_root: folder that the paths start from.
        num_classes: number C of classes; labels are 0..C-1.

    Raises:
        InputError: the name is taken; the list is missing, empty or damaged; a label is out of
            range; an image is missing.
    """
    check_name(name)
    records = load_image_list(list_file, image_root, num_classes)
    check_files(f"list {list_file!r}", records)
    _register(name, list_file, image_root, num_classes)
    labels = [record["annotations"][0]["category_id"] for record in records]
    counts = np.bincount(labels, minlength=num_classes).tolist()
    MetadataCatalog.get(name).set(
        class_image_count=[{"id": i, "image_count": n} for i, n in enumerate(counts, start=1)],
        num_annotated_images=len(records),
    )


def register_builtin_image_lists(root: str) -> None:
    """Register ImageNet-LT, Places-LT and iNaturalist 2018 under `root`, without reading a file."""
    for name, (lists, image_root, num_classes, splits) in _BUILTIN.items():
        for split in splits:
            paths = (os.path.join(root, path) for path in (f"{lists}_{split}.txt", image_root))
            _register(f"{name}_{split}", *paths, num_classes)


def _register(name: str, list_file: str, image_root: str, num_classes: int) -> None:
    DatasetCatalog.register(name, lambda: load_image_list(list_file, image_root, num_classes))
    MetadataCatalog.get(name).set(
        list_file=list_file,
        image_root=image_root,
        evaluator_type="classification",
        thing_classes=[str(label) for label in range(num_classes)],
    )


def load_image_list(list_file: str, image_root: str, num_classes: int) -> list[dict]:
    """Records in Detectron2's standard format, in the order of the list; blank lines do not count.

    The image files are not looked for: iNaturalist has 437,513 of them. Each record has the name
    of its list, for the message of the mapper.

    Raises:
        InputError: the list is missing, empty or no text; a line is not "path label"; a label is
            not 0..C-1.
    """
    if not os.path.isfile(list_file):
        raise InputError(f"list {list_file!r} does not exist: check the path")
    records = []
    try:
        with open(list_file, encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    path, label = _parse(f"list {list_file!r}, line {number}", line, num_classes)
                    record = {"file_name": os.path.join(image_root, path), "image_id": len(records)}
                    record["annotations"] = [{"category_id": label}]
                    records.append(record | {"list_file": list_file})
    except UnicodeDecodeError as error:
        raise InputError(f"list {list_file!r} is not a text file ({error.reason})") from error
    if not records:
        raise InputError(f'list {list_file!r} is empty: write lines "path label"')
    return records


def _parse(where: str, line: str, num_classes: int) -> tuple[str, int]:
    fields = line.rsplit(maxsplit=1)
    if len(fields) < 2 or not fields[1].lstrip("-").isdecimal():
        raise InputError(f'{where} is {line.strip()!r}: it must be "path label"')
    label = int(fields[1])
    if not 0 <= label < num_classes:
        raise InputError(
            f"{where} has label {label}: labels of {num_classes} classes are 0 to {num_classes - 1}"
        )
    return fields[0], label

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

import functools
import os

from detectron2.data import DatasetCatalog, MetadataCatalog

from ...exceptions import InputError
from ..category_counts import count_categories

# name: (list file, folder of the images, number of classes)
_BUILTIN = {
    "imagenet_lt_train": ("imagenet_lt/ImageNet_LT_train.txt", "imagenet", 1000),
    "imagenet_lt_val": ("imagenet_lt/ImageNet_LT_val.txt", "imagenet", 1000),
    "imagenet_lt_test": ("imagenet_lt/ImageNet_LT_test.txt", "imagenet", 1000),
    "places_lt_train": ("places_lt/Places_LT_train.txt", "places365", 365),
    "places_lt_val": ("places_lt/Places_LT_val.txt", "places365", 365),
    "places_lt_test": ("places_lt/Places_LT_test.txt", "places365", 365),
    "inaturalist18_train": ("inaturalist18/iNaturalist18_train.txt", "inaturalist18", 8142),
    "inaturalist18_val": ("inaturalist18/iNaturalist18_val.txt", "inaturalist18", 8142),
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
    if name in DatasetCatalog.list():
        raise InputError(f"data set {name!r} is registered already: choose another name")
    records = load_image_list(list_file, image_root, num_classes)
    missing = [r["file_name"] for r in records if not os.path.isfile(r["file_name"])]
    if missing:
        raise InputError(
            f"list {list_file!r}: {len(missing)} of {len(records)} images are missing, the first "
            f"is {missing[0]!r}: check the image folder"
        )
    _register(name, list_file, image_root, num_classes)
    counts = count_categories(records, MetadataCatalog.get(name).thing_classes)
    MetadataCatalog.get(name).set(
        class_image_count=[
            {"id": i, "image_count": int(count)}
            for i, count in enumerate(counts.image_count, start=1)
        ],
        num_annotated_images=counts.num_images,
    )


def register_builtin_image_lists(root: str) -> None:
    """Register ImageNet-LT, Places-LT and iNaturalist 2018 under `root`, without reading a file."""
    for name, (list_file, image_root, num_classes) in _BUILTIN.items():
        _register(name, os.path.join(root, list_file), os.path.join(root, image_root), num_classes)


def _register(name: str, list_file: str, image_root: str, num_classes: int) -> None:
    DatasetCatalog.register(
        name, functools.partial(load_image_list, list_file, image_root, num_classes)
    )
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

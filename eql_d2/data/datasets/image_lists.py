"""Data sets for classification by list files: one image a line, its path and its label.

``ImageNet_LT_train.txt`` and its kin, as the authors of the data sets and of
github.com/facebookresearch/classifier-balancing publish them, go by name under
``DETECTRON2_DATASETS``::

    imagenet_lt/ImageNet_LT_{train,val,test}.txt    imagenet/{train,val}/<class>/*.JPEG
    places_lt/Places_LT_{train,val,test}.txt        places365/{train,val}/<class>/*.jpg
    inaturalist18/iNaturalist18_{train,val}.txt     inaturalist18/train_val2018/...
    aaai2023/{train,val}.txt                        aaai2023/data/*.png

The last is the Practical AI challenge at AAAI 2023, github.com/ModelTC/AAAI2023_EAMPD, with its
``train.txt``; ``val.txt``, which its configs name, may be images that you hold out.

A path in a list is taken from the folder ``imagenet``, ``places365`` or the one of the list; there
are lists of Places-LT with other paths than these (``data_256/a/...``), for which the images must
lie as the list says.
"""

import logging
import os

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog

from ...exceptions import InputError
from ...files import read_text
from ...foreign_formats import list_format
from ...messages import shown
from ..validation.findings import Findings
from ..validation.images import check_sample
from ..validation.limits import Limits, check_paths, leads_outside
from .checks import check_files, check_name

logger = logging.getLogger(__name__)

# name: (start of the list files, folder of the images, number of classes, splits)
_BUILTIN = {
    "imagenet_lt": ("imagenet_lt/ImageNet_LT_", "imagenet", 1000, ("train", "val", "test")),
    "places_lt": ("places_lt/Places_LT_", "places365", 365, ("train", "val", "test")),
    "inaturalist18": ("inaturalist18/iNaturalist18_", "inaturalist18", 8142, ("train", "val")),
    "aaai2023": ("aaai2023/", "aaai2023", 89, ("train", "val")),
}


def register_image_list(
    name: str,
    list_file: str,
    image_root: str,
    *,
    num_classes: int,
    limits: Limits = Limits(),
) -> None:
    """Register a list of one's own, after checking all of it.

    Classes are named by their labels, "0" to "C-1". That one of them stands alone is logged.

    Args:
        name: name for ``DATASETS.TRAIN`` and ``DATASETS.TEST``.
        list_file: text file with lines "path label".
        image_root: folder that the paths start from.
        num_classes: number C of classes; labels are 0..C-1.
        limits: of the images.

    Raises:
        InputError: the name is taken; the list is missing, empty or damaged; a label is out of
            range; an image is missing, a path leads out of the folder, or of an even sample of the
            images one cannot be used.
    """
    check_name(name)
    findings = Findings()
    records = read_image_list(findings, list_file, image_root, num_classes, limits)
    findings.raise_error()
    findings.log_warnings(logger)
    check_sample(f"list {list_file!r}", [record["file_name"] for record in records], limits)
    _register(name, list_file, image_root, num_classes)
    labels = [record["annotations"][0]["category_id"] for record in records]
    counts = np.bincount(labels, minlength=num_classes).tolist()
    MetadataCatalog.get(name).set(
        class_image_count=[{"id": i, "image_count": n} for i, n in enumerate(counts, start=1)],
        num_annotated_images=len(records),
    )


def register_builtin_image_lists(root: str) -> None:
    """Register the lists above under `root`, without reading a file."""
    for name, (lists, image_root, num_classes, splits) in _BUILTIN.items():
        for split in splits:
            paths = (os.path.join(root, path) for path in (f"{lists}{split}.txt", image_root))
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
    findings = Findings()
    records = _read_lines(findings, list_file, image_root, num_classes)
    findings.raise_error()
    return records


def read_image_list(
    findings: Findings, list_file: str, image_root: str, num_classes: int, limits: Limits
) -> list[dict]:
    """Records of the lines that can be read and whose images are there.

    Args:
        findings: what is wrong is added to it.
        list_file, image_root, num_classes, limits: see :func:`register_image_list`.
    """
    records = _read_lines(findings, list_file, image_root, num_classes)
    names = [os.path.relpath(record["file_name"], image_root) for record in records]
    check_paths(findings, image_root, names, f"a line of list {list_file!r}", limits)
    inside = [
        record
        for record, name in zip(records, names)
        if limits.allow_outside_paths or not leads_outside(image_root, name)
    ]
    labels = {record["annotations"][0]["category_id"] for record in records}
    findings.warning(
        "lists of one class alone",
        "a training needs two classes to tell apart",
        sorted(labels) if len(labels) == 1 else [],
        lambda label: f"list {list_file!r} has the label {label} alone",
    )
    return check_files(findings, f"list {list_file!r}: ", inside, image_root)


def _read_lines(
    findings: Findings, list_file: str, image_root: str, num_classes: int
) -> list[dict]:
    where = f"list {list_file!r}"
    if not os.path.exists(list_file):
        findings.error("missing files", "check the path", [f"{where} does not exist"])
        return []
    try:
        text = read_text(list_file)
    except InputError as error:
        findings.error("lists that cannot be read", "", [str(error)])
        return []
    lines = [(i, line) for i, line in enumerate(text.split("\n"), start=1) if line.strip()]
    if not lines:
        findings.error("empty lists", 'write lines "path label"', [f"{where} is empty"])
    parsed = [(i, line, _parse(line)) for i, line in lines]
    foreign = list_format(text) if any(entry[2] is None for entry in parsed) else None
    if foreign is not None:
        fix = 'write lines "path label"'
        findings.error("lists of another format", fix, [f"{where} {foreign}"])
        return []
    findings.error(
        "lines of another form",
        'it must be "path label"',
        [entry for entry in parsed if entry[2] is None],
        lambda entry: f"{where}, line {entry[0]} is {shown(entry[1].strip())}",
    )
    parsed = [entry for entry in parsed if entry[2] is not None]
    findings.error(
        "labels out of range",
        f"labels of {num_classes} classes are 0 to {num_classes - 1}",
        [entry for entry in parsed if not 0 <= entry[2][1] < num_classes],
        lambda entry: f"{where}, line {entry[0]} has label {shown(entry[2][1])}",
    )
    return [
        {
            "file_name": os.path.join(image_root, path),
            "image_id": i,
            "annotations": [{"category_id": label}],
            "list_file": list_file,
        }
        for i, (_, _, (path, label)) in enumerate(parsed)
    ]


def _parse(line: str) -> tuple[str, int] | None:
    fields = line.rsplit(maxsplit=1)
    if len(fields) < 2 or not fields[1].removeprefix("-").isdecimal() or len(fields[1]) > 18:
        return None
    return fields[0], int(fields[1])

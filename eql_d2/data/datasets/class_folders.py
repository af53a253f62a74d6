"""The user's own images for classification: one folder for each class, with a long tail on wish."""

import logging
import os

from detectron2.data import DatasetCatalog, MetadataCatalog
from torchvision.datasets.folder import find_classes

from ...foreign_formats import folder_format
from ..image_files import image_endings
from ..validation.findings import Findings
from ..validation.images import check_sample
from ..validation.limits import Limits, check_paths, leads_outside
from .checks import check_name, read_class_file
from .folder_images import FolderImages, ending_of, find_images, is_junk
from .long_tail import LongTail, check_long_tail, long_tail_counts, shuffled

logger = logging.getLogger(__name__)

# Optional, beside the class folders: one class name a line
CLASS_FILE = "classes.txt"
# Names of folders, in lower case, that are not classes where there are no others: splits, and the
# parts of a data set of another kind
_SPLITS = {"train", "training", "val", "valid", "validation", "dev", "test", "testing"}
_PARTS = {"images", "labels", "annotations", "masks", "jpegimages", "imagesets"}
_PARTS |= {"segmentationclass", "segmentationobject", "train2017", "val2017", "test2017"}


def register_class_folder(
    name: str, folder: str, *, long_tail: LongTail | None = None, limits: Limits = Limits()
) -> None:
    """Register ``folder/<class name>/<images>``, after checking it.

    Classes are the folders, ordered by name, or the lines of ``folder/classes.txt`` if there is
    one, of which some may have no folder. Images are the files in the folders, and in the folders
    below them, that have the ending of a format that Pillow reads; a line for each class is logged
    of other files that are not hidden. Test data may lack images, or the folder, of some classes:
    see :func:`adopt_training_classes`.

    Args:
        name: name for ``DATASETS.TRAIN`` and ``DATASETS.TEST``.
        folder: path of the folder with the class folders.
        long_tail: keep only part of the images, by an exponential profile. The same arguments keep
            the same images.
        limits: of the images.

    Raises:
        InputError: the name is taken; the folder is missing or has no class folder or no image; a
            folder is not in ``classes.txt``; without that file, the folders have the names of
            splits or of the parts of a detection data set; the factor is below 1 or the seed
            negative; of an even sample of the images one cannot be used.
    """
    check_name(name)
    classes, files = _find_images(name, folder, long_tail, with_warnings=True)
    check_sample(f"data set {name!r}", [path for paths in files for path in paths], limits)
    has_class_file = os.path.exists(os.path.join(folder, CLASS_FILE))
    empty = [class_name for class_name, paths in zip(classes, files) if not paths]
    counts = [len(paths) for paths in files]
    DatasetCatalog.register(name, lambda: _read(name, folder, long_tail, False)[1])
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
    return _read(name, folder, long_tail, with_warnings=True)


def _read(
    name: str, folder: str, long_tail: LongTail | None, with_warnings: bool
) -> tuple[list[str], list[dict]]:
    classes, files = _find_images(name, folder, long_tail, with_warnings)
    labelled = [(path, label) for label, paths in enumerate(files) for path in paths]
    return classes, [
        {"file_name": path, "image_id": i, "annotations": [{"category_id": label}]}
        for i, (path, label) in enumerate(labelled)
    ]


def _cut_long_tail(name: str, files: list[list[str]], long_tail: LongTail) -> list[list[str]]:
    check_long_tail(name, long_tail)
    counts = long_tail_counts([len(paths) for paths in files], long_tail)
    # The names of the files are in order: so are those that stay.
    return [
        sorted(shuffled(paths, label, long_tail)[:count])
        for label, (paths, count) in enumerate(zip(files, counts))
    ]


def _find_images(
    name: str, folder: str, long_tail: LongTail | None, with_warnings: bool
) -> tuple[list[str], list[list[str]]]:
    """Names of the classes and, for each, the paths of its images."""
    findings = Findings(f"data set {name!r}")
    classes, files = find_class_images(findings, folder)
    findings.raise_error()
    if with_warnings:
        findings.log_warnings(logger)
    return classes, files if long_tail is None else _cut_long_tail(name, files, long_tail)


def find_class_images(findings: Findings, folder: str) -> tuple[list[str], list[list[str]]]:
    """Names of the classes and, for each, the paths of its images.

    Args:
        findings: what is wrong is added to it.
        folder: with the class folders.
    """
    where = f"folder {folder!r}"
    if not os.path.isdir(folder):
        problem = "is a file, not a folder" if os.path.exists(folder) else "does not exist"
        findings.error("missing folders", "check the path", [f"{where} {problem}"])
        return [], []
    classes = _class_names(findings, folder)
    found = [
        find_images(os.path.join(folder, class_name))
        if os.path.isdir(os.path.join(folder, class_name)) and not leads_outside(folder, class_name)
        else FolderImages([], [], [])
        for class_name in classes
    ]
    _check_left_out(findings, folder, dict(zip(classes, found)))
    files = [of_class.images for of_class in found]
    if not any(files):
        foreign = folder_format(folder)
        findings.error(
            "folders without images",
            "put the images of each class into a folder with its name",
            [f"{where} {foreign or 'has no class folder with an image'}"],
        )
    return classes, files


def _class_names(findings: Findings, folder: str) -> list[str]:
    """Names of the folders, or the lines of the class file."""
    try:
        folders = [found for found in find_classes(folder)[0] if not is_junk(found)]
    except OSError:  # there is no folder in it, or it cannot be read
        folders = []
    classes = folders
    if os.path.exists(os.path.join(folder, CLASS_FILE)):
        classes = read_class_file(findings, os.path.join(folder, CLASS_FILE))
        findings.error(
            f"class folders that are not in {CLASS_FILE}",
            "add a line with the name or remove the folder",
            sorted(set(folders) - set(classes)),
            lambda unknown: (
                f"folder {folder!r}: class folder {unknown!r} is not in its {CLASS_FILE}"
            ),
        )
        check_paths(findings, folder, classes, f"a line of {CLASS_FILE}", Limits())
    else:
        _check_names(findings, folder, classes)
    findings.warning(
        "class folders of one class alone",
        "a training needs two classes to tell apart: is it the folder above that you mean?",
        classes if len(classes) == 1 else [],
        lambda class_name: f"folder {folder!r} has the class {class_name!r} alone",
    )
    return classes


def _check_names(findings: Findings, folder: str, classes: list[str]) -> None:
    """Find folders that have the names of splits, or of the parts of another data set."""
    names = {class_name.lower() for class_name in classes}
    if not names or not names <= _SPLITS | _PARTS:
        return
    foreign, insist = folder_format(folder), f"if they are classes, list them in {CLASS_FILE}"
    way = "give each split by itself"
    if not names <= _SPLITS:
        way = "give boxes by --dataset, label maps by --mask-folder, or the folder of the classes"
    findings.error(
        "folders of parts of a data set in the place of class folders",
        f"{f'the folder {foreign}' if foreign else way}; {insist}",
        [f"folder {folder!r} has the folders {', '.join(map(repr, classes))}, no classes' names"],
    )


def _check_left_out(findings: Findings, folder: str, found: dict[str, FolderImages]) -> None:
    findings.error(
        "folders that cannot be read",
        "check its permissions",
        [error for of_class in found.values() for error in of_class.unreadable],
        lambda error: f"folder {error.filename!r} cannot be read ({error.strerror})",
    )
    findings.warning(
        "classes of which files are left out",
        "they have no ending of an image that Pillow reads: convert them if they are images",
        [class_name for class_name, of_class in found.items() if of_class.others],
        lambda class_name: f"class {class_name!r}: {found[class_name].left_out()}",
    )
    endings = image_endings()
    beside = [name for name in os.listdir(folder) if ending_of(name) in endings]
    findings.warning(
        "images beside the class folders",
        "they are left out: put each into the folder of its class",
        sorted(n for n in beside if not is_junk(n) and os.path.isfile(os.path.join(folder, n))),
        lambda name: f"folder {folder!r} has {name!r} beside the class folders",
    )

"""The user's own images for classification: one folder for each class, with a long tail on wish."""

import glob
import os

from detectron2.data import DatasetCatalog, MetadataCatalog
from torchvision.datasets.folder import IMG_EXTENSIONS, find_classes, has_file_allowed_extension

from ..validation.findings import Findings
from ..validation.images import check_sample
from ..validation.limits import Limits, check_paths, leads_outside
from .checks import check_name, read_class_file
from .long_tail import LongTail, check_long_tail, long_tail_counts, shuffled

# Optional, beside the class folders: one class name a line
CLASS_FILE = "classes.txt"


def register_class_folder(
    name: str, folder: str, *, long_tail: LongTail | None = None, limits: Limits = Limits()
) -> None:
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
        limits: of the images.

    Raises:
        InputError: the name is taken; the folder is missing or has no class folder or no image; a
            folder is not in ``classes.txt``; the factor is below 1 or the seed negative; of an even
            sample of the images one cannot be used.
    """
    check_name(name)
    classes, files = _find_images(name, folder, long_tail)
    check_sample(f"data set {name!r}", [path for paths in files for path in paths], limits)
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


def _cut_long_tail(name: str, files: list[list[str]], long_tail: LongTail) -> list[list[str]]:
    check_long_tail(name, long_tail)
    counts = long_tail_counts([len(paths) for paths in files], long_tail)
    # The names of the files are in order: so are those that stay.
    return [
        sorted(shuffled(paths, label, long_tail)[:count])
        for label, (paths, count) in enumerate(zip(files, counts))
    ]


def _find_images(
    name: str, folder: str, long_tail: LongTail | None
) -> tuple[list[str], list[list[str]]]:
    """Names of the classes and, for each, the paths of its images."""
    findings = Findings(f"data set {name!r}")
    classes, files = find_class_images(findings, folder)
    findings.raise_error()
    return classes, files if long_tail is None else _cut_long_tail(name, files, long_tail)


def find_class_images(findings: Findings, folder: str) -> tuple[list[str], list[list[str]]]:
    """Names of the classes and, for each, the paths of its images.

    Args:
        findings: what is wrong is added to it.
        folder: with the class folders.
    """
    where = f"folder {folder!r}"
    if not os.path.isdir(folder):
        findings.error("missing folders", "check the path", [f"{where} does not exist"])
        return [], []
    try:
        folders = [found for found in find_classes(folder)[0] if not found.startswith(".")]
    except OSError:  # there is no folder in it, or it cannot be read
        folders = []
    classes = folders
    if os.path.exists(os.path.join(folder, CLASS_FILE)):
        classes = read_class_file(findings, os.path.join(folder, CLASS_FILE))
        findings.error(
            f"class folders that are not in {CLASS_FILE}",
            "add a line with the name or remove the folder",
            sorted(set(folders) - set(classes)),
            lambda unknown: f"{where}: class folder {unknown!r} is not in its {CLASS_FILE}",
        )
        check_paths(findings, folder, classes, f"a line of {CLASS_FILE}", Limits())
    files = [
        _images_of(os.path.join(folder, class_name))
        if "\0" not in class_name and not leads_outside(folder, class_name)
        else []
        for class_name in classes
    ]
    if not any(files):
        findings.error(
            "folders without images",
            "put the images of each class into a folder with its name",
            [f"{where} has no class folder with an image ({', '.join(IMG_EXTENSIONS)})"],
        )
    return classes, files


def _images_of(folder: str) -> list[str]:
    """Paths in order; none if there is no such folder."""
    files = sorted(glob.glob("*", root_dir=folder))
    images = filter(lambda file: has_file_allowed_extension(file, IMG_EXTENSIONS), files)
    return [os.path.join(folder, file) for file in images]

"""The user's own data for segmentation: a folder of images and one of label maps."""

import logging
import os
from collections.abc import Set

from detectron2.data import DatasetCatalog, MetadataCatalog

from ...foreign_formats import folder_format
from ..image_files import image_endings
from ..validation.findings import Findings
from ..validation.images import NUM_SAMPLES
from ..validation.label_maps import check_labelled_images
from ..validation.limits import Limits
from .checks import check_name, read_class_file
from .folder_images import ending_of, is_junk

logger = logging.getLogger(__name__)

IGNORE_LABEL = 255


def register_mask_folder(
    name: str,
    image_folder: str,
    mask_folder: str,
    class_file: str,
    *,
    limits: Limits = Limits(),
) -> None:
    """Register images with label maps, after checking that they belong together.

    The label map of ``image_folder/x.jpg`` is ``mask_folder/x.png``: one 8-bit channel, or a
    palette, of class indices; 255 is ignored. Of an even sample of them all is checked, the rest
    when they are read. What is left out, and label maps of one class alone, are logged.

    Args:
        name: name for ``DATASETS.TRAIN`` and ``DATASETS.TEST``.
        image_folder, mask_folder: paths of the two folders.
        class_file: text file with one class name a line, in the order of the indices.
        limits: of the images.

    Raises:
        InputError: the name is taken; a folder or the file is missing; there is no image, or not
            one label map for each; the class names are none, more than 255, or not unique; of the
            sample an image or a label map cannot be used; no label map has a label, or they look
            like binary masks.
    """
    check_name(name)
    findings = Findings(f"data set {name!r}")
    classes = read_class_file(findings, class_file, most=IGNORE_LABEL)
    records = find_label_maps(findings, image_folder, mask_folder)
    findings.raise_error()
    max_pixels = limits.max_image_pixels
    check_labelled_images(findings, records, NUM_SAMPLES, classes, IGNORE_LABEL, max_pixels)
    findings.raise_error()
    findings.log_warnings(logger)
    DatasetCatalog.register(name, lambda: load_mask_folder(name, image_folder, mask_folder))
    MetadataCatalog.get(name).set(
        image_root=image_folder,
        sem_seg_root=mask_folder,
        evaluator_type="sem_seg",
        stuff_classes=classes,
        ignore_label=IGNORE_LABEL,
        max_image_pixels=limits.max_image_pixels,
    )


def load_mask_folder(name: str, image_folder: str, mask_folder: str) -> list[dict]:
    """Records in Detectron2's standard format, ordered by file name.

    Raises:
        InputError: as for :func:`register_mask_folder`.
    """
    findings = Findings(f"data set {name!r}")
    records = find_label_maps(findings, image_folder, mask_folder)
    findings.raise_error()
    return records


def find_label_maps(findings: Findings, image_folder: str, mask_folder: str) -> list[dict]:
    """Records of the images that have a label map; what is wrong is added to the findings."""
    images = _files_by_stem(findings, image_folder, image_endings())
    masks = _files_by_stem(findings, mask_folder, {".png"})
    for there, others, what, absent in (
        (images, masks, "image", "label map"),
        (masks, images, "label map", "image"),
    ):
        findings.error(
            f"{what}s without {absent}s",
            f"there are {len(images)} images in {image_folder!r} and {len(masks)} label maps in "
            f"{mask_folder!r}",
            [path for stem, path in there.items() if stem not in others],
            lambda path, what=what, absent=absent: f"{what} {path!r} has no {absent} of its name",
        )
    return [
        {"file_name": path, "sem_seg_file_name": masks[stem], "image_id": stem}
        for stem, path in images.items()
        if stem in masks
    ]


def _files_by_stem(findings: Findings, folder: str, endings: Set[str]) -> dict[str, str]:
    if not os.path.isdir(folder):
        problem = "is a file, not a folder" if os.path.exists(folder) else "does not exist"
        findings.error("missing folders", "check the path", [f"folder {folder!r} {problem}"])
        return {}
    found, doubles, others = {}, [], []
    for file in sorted(filter(lambda file: not is_junk(file), os.listdir(folder))):
        path, stem = os.path.join(folder, file), os.path.splitext(file)[0]
        if ending_of(file) not in endings or os.path.isdir(path):
            others.append(path)
        elif found.setdefault(stem, path) != path:
            doubles.append(f"{found[stem]!r} and {file!r} have the same name")
    findings.error("files with the same name", "rename one", doubles)
    what = "images" if len(endings) > 1 else "PNG files"
    findings.warning(
        f"files and folders left out of the {what}",
        "label maps are PNG files, images of any format, and both lie in the folder itself",
        others,
        lambda path: f"{path!r} is none of the {what} of the folder",
    )
    if not found:
        foreign = folder_format(folder) or f"has none of the {what} that belong there"
        findings.error("folders without images", "check the path", [f"folder {folder!r} {foreign}"])
    return found

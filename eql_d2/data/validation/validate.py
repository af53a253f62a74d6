"""Check a data set of each kind whole: annotations, folders or lists, and the image files."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from ..datasets.checks import read_class_file
from ..datasets.class_folders import find_class_images
from ..datasets.image_lists import read_image_list
from ..datasets.json_instances import find_json_instances, names_of
from ..datasets.mask_folders import IGNORE_LABEL, find_label_maps
from .categories import unseen_fix
from .contents import Contents, images_by_name
from .findings import Findings
from .images import check_images, sample
from .label_maps import check_labelled_images
from .limits import Limits


class Depth(NamedTuple):
    """What is allowed, how much is read, and what for.

    Attributes:
        limits: of the images.
        num_images: how many image files are read, an even sample; None for all.
        is_test: whether the data are to be tested on, not trained on.
    """

    limits: Limits = Limits()
    num_images: int | None = None
    is_test: bool = False


def validate_json(json_file: str, image_root: str, depth: Depth = Depth()) -> Findings:
    """Check a file in COCO or LVIS format and its images."""
    findings = Findings(is_test=depth.is_test)
    data, records = find_json_instances(findings, json_file, image_root, depth.limits)
    check_images(findings, sample(records, depth.num_images), depth.limits.max_image_pixels)
    if data is not None:
        findings.contents = _contents(names_of(data), "annotations", records, image_root)
    return findings


def validate_class_folder(folder: str, depth: Depth = Depth()) -> Findings:
    """Check a folder of class folders and its images."""
    findings = Findings(is_test=depth.is_test)
    classes, files = find_class_images(findings, folder)
    findings.warning(
        "classes without an image",
        unseen_fix(findings),
        [class_name for class_name, paths in zip(classes, files) if not paths],
        lambda class_name: f"class {class_name!r} has no image",
    )
    paths = [path for of_class in files for path in of_class]
    records = [{"file_name": path} for path in paths]
    check_images(findings, sample(records, depth.num_images), depth.limits.max_image_pixels)
    counts = dict(zip(classes, map(len, files)))
    findings.contents = Contents(counts, "images", images_by_name(paths, folder))
    return findings


def validate_mask_folder(
    image_folder: str, mask_folder: str, class_file: str, depth: Depth = Depth()
) -> Findings:
    """Check images, their label maps and the file of the classes."""
    findings = Findings(is_test=depth.is_test)
    classes = read_class_file(findings, class_file, most=IGNORE_LABEL)
    records = find_label_maps(findings, image_folder, mask_folder)
    max_pixels = depth.limits.max_image_pixels
    check_labelled_images(findings, records, depth.num_images, classes, IGNORE_LABEL, max_pixels)
    paths = [record["file_name"] for record in records]
    images = images_by_name(paths, image_folder)
    findings.contents = Contents(dict.fromkeys(classes), "", images)
    return findings


def validate_image_list(
    list_file: str, image_root: str, num_classes: int, depth: Depth = Depth()
) -> Findings:
    """Check a list of images with labels, and the images."""
    findings = Findings(is_test=depth.is_test)
    records = read_image_list(findings, list_file, image_root, num_classes, depth.limits)
    labels = [record["annotations"][0]["category_id"] for record in records]
    findings.warning(
        "classes without an image",
        unseen_fix(findings),
        np.setdiff1d(np.arange(num_classes), labels) if labels else [],
        lambda label: f"label {label} has no image",
    )
    check_images(findings, sample(records, depth.num_images), depth.limits.max_image_pixels)
    classes = list(map(str, range(num_classes)))
    findings.contents = _contents(classes, "images", records, image_root)
    return findings


def _contents(
    classes: Sequence[str], unit: str, records: Iterable[dict], image_root: str
) -> Contents:
    counts = Counter(a["category_id"] for record in records for a in record["annotations"])
    images = images_by_name((record["file_name"] for record in records), image_root)
    return Contents({name: counts[i] for i, name in enumerate(classes)}, unit, images)

"""Check a data set of each kind whole: annotations, folders or lists, and the image files."""

from typing import NamedTuple

from ..datasets.checks import read_class_file
from ..datasets.class_folders import find_class_images
from ..datasets.image_lists import read_image_list
from ..datasets.json_instances import find_json_instances
from ..datasets.mask_folders import IGNORE_LABEL, find_label_maps
from .findings import Findings
from .images import check_images, sample
from .label_maps import check_labelled_images
from .limits import Limits


class Depth(NamedTuple):
    """What is allowed and how much is read.

    Attributes:
        limits: of the images.
        num_images: how many image files are read, an even sample; None for all.
    """

    limits: Limits = Limits()
    num_images: int | None = None


def validate_json(json_file: str, image_root: str, depth: Depth = Depth()) -> Findings:
    """Check a file in COCO or LVIS format and its images."""
    findings = Findings()
    _, records = find_json_instances(findings, json_file, image_root, depth.limits)
    check_images(findings, sample(records, depth.num_images), depth.limits.max_image_pixels)
    return findings


def validate_class_folder(folder: str, depth: Depth = Depth()) -> Findings:
    """Check a folder of class folders and its images."""
    findings = Findings()
    classes, files = find_class_images(findings, folder)
    findings.warning(
        "classes without an image",
        "a class of the training data needs one",
        [class_name for class_name, paths in zip(classes, files) if not paths],
        lambda class_name: f"class {class_name!r} has no image",
    )
    records = [{"file_name": path} for paths in files for path in paths]
    check_images(findings, sample(records, depth.num_images), depth.limits.max_image_pixels)
    return findings


def validate_mask_folder(
    image_folder: str, mask_folder: str, class_file: str, depth: Depth = Depth()
) -> Findings:
    """Check images, their label maps and the file of the classes."""
    findings = Findings()
    classes = read_class_file(findings, class_file, most=IGNORE_LABEL)
    records = find_label_maps(findings, image_folder, mask_folder)
    max_pixels = depth.limits.max_image_pixels
    check_labelled_images(findings, records, depth.num_images, classes, IGNORE_LABEL, max_pixels)
    return findings


def validate_image_list(
    list_file: str, image_root: str, num_classes: int, depth: Depth = Depth()
) -> Findings:
    """Check a list of images with labels, and the images."""
    findings = Findings()
    records = read_image_list(findings, list_file, image_root, num_classes, depth.limits)
    check_images(findings, sample(records, depth.num_images), depth.limits.max_image_pixels)
    return findings

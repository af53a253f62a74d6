"""The user's own data: one COCO- or LVIS-format JSON file and a folder of images."""

import logging
from collections import defaultdict
from operator import itemgetter

import pycocotools.mask as mask_util
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import BoxMode

from ..category_counts import count_categories
from ..validation.annotations import read_annotations
from ..validation.blemishes import take_blemishes
from ..validation.findings import Findings
from ..validation.images import NUM_SAMPLES, check_images, sample
from ..validation.limits import Limits
from ..validation.listed_images import find_file, is_federated, usable_images
from ..validation.mask_kinds import count_masks
from .checks import check_files, check_name
from .long_tail import LongTail, cut_records

logger = logging.getLogger(__name__)


def register_json_instances(
    name: str,
    json_file: str,
    image_root: str,
    *,
    long_tail: LongTail | None = None,
    evaluator_type: str | None = None,
    limits: Limits = Limits(),
) -> None:
    """Register a data set in COCO or LVIS format, after checking all of it, and an even sample of
    the image files.

    Category ids may be any integers: classes are ordered by them. Images are found under
    ``image_root`` by their ``file_name``, or where it leads to no file by the end of their
    ``coco_url``, as in Detectron2's LVIS. The evaluator is LVIS's (federated) if the images have
    ``neg_category_ids`` and ``not_exhaustive_category_ids``, otherwise COCO's.

    Args:
        name: name for ``DATASETS.TRAIN`` and ``DATASETS.TEST``.
        json_file: path of the annotations.
        image_root: folder of the images.
        long_tail: keep only part of the images, by the rule of :func:`cut_records`. Such data are
            for training: they are refused as test data.
        evaluator_type: chooses another evaluator than that of the file's format.
        limits: of the images.

    Raises:
        InputError: the name is taken; the file is missing, damaged or inconsistent, see
            :mod:`eql_d2.data.validation`; an image file is missing, or one of the sample cannot be
            used; or as in :func:`cut_records`.
    """
    check_name(name)
    findings = Findings(f"data set {name!r}")
    data, records = find_json_instances(findings, json_file, image_root, limits)
    findings.raise_error()
    findings.log_warnings(logger)
    check_images(findings, sample(records, NUM_SAMPLES), limits.max_image_pixels)
    findings.raise_error()
    records = _cut(name, data, records, long_tail)

    ids = [category["id"] for category in data["categories"]]
    counts = count_categories(records, ids)
    count_keys = ("id", "image_count", "instance_count")
    rows = zip(ids, counts.image_count.tolist(), counts.instance_count.tolist())
    own_type = "lvis" if is_federated(data["images"]) else "coco"
    DatasetCatalog.register(
        name, lambda: load_json_instances(name, json_file, image_root, long_tail, limits)
    )
    MetadataCatalog.get(name).set(
        json_file=json_file,
        image_root=image_root,
        evaluator_type=evaluator_type or own_type,
        class_image_count=[dict(zip(count_keys, row)) for row in rows],
        num_annotated_images=counts.num_images,
        has_whole_file=long_tail is None,
        mask_counts=count_masks(records),
        **_class_metadata(data),
    )


def load_json_instances(
    name: str,
    json_file: str,
    image_root: str,
    long_tail: LongTail | None = None,
    limits: Limits = Limits(),
) -> list[dict]:
    """Read into Detectron2's standard format, and give `name` the metadata of the classes.

    Raises:
        InputError: as for :func:`register_json_instances`, but the image files are not looked for.
    """
    findings = Findings(f"data set {name!r}")
    data, records = _read_checked(findings, json_file, image_root, limits)
    metadata = MetadataCatalog.get(name)
    if metadata.get("thing_classes") is None:  # known by name only until now
        metadata.set(**_class_metadata(data))
    return _cut(name, data, records, long_tail)


def read_json_instances(
    name: str, json_file: str, image_root: str, limits: Limits = Limits()
) -> tuple[list[str], list[dict]]:
    """Names of the classes, and the records in Detectron2's standard format; registers nothing, and
    logs what is warned of.

    Raises:
        InputError: as for :func:`load_json_instances`.
    """
    findings = Findings(f"data set {name!r}")
    data, records = _read_checked(findings, json_file, image_root, limits)
    findings.log_warnings(logger)
    return names_of(data), records


def find_json_instances(
    findings: Findings, json_file: str, image_root: str, limits: Limits
) -> tuple[dict | None, list[dict]]:
    """Read and check a file and whether its images are there.

    Args:
        findings: what is wrong is added to it.
        json_file, image_root, limits: see :func:`register_json_instances`.

    Returns:
        The content, its images and categories sorted by their ids, and the records of the images
        that are there; where the file has errors None, and only their paths and sizes.
    """
    data = read_annotations(findings, json_file, image_root, limits)
    if findings.errors:
        images = usable_images(data["images"], image_root, limits) if data is not None else []
        records = [_to_image(image, image_root) for image in images]
        return None, check_files(findings, "", records, image_root)
    if findings.warnings:  # each blemish has one
        take_blemishes(data)
    return data, check_files(findings, "", _to_records(data, image_root), image_root)


def _read_checked(
    findings: Findings, json_file: str, image_root: str, limits: Limits
) -> tuple[dict, list[dict]]:
    """Content and records of a file; the image files are not looked for."""
    data = read_annotations(findings, json_file, image_root, limits)
    findings.raise_error()
    if findings.warnings:  # each blemish has one
        take_blemishes(data)
    return data, _to_records(data, image_root)


def names_of(data: dict) -> list[str]:
    """Names of the classes of a file, in the order of its categories; an id where there is none."""
    named = ((category["id"], category.get("name")) for category in data["categories"])
    return [str(id_ if name is None else name) for id_, name in named]


def _class_metadata(data: dict) -> dict:
    ids = [category["id"] for category in data["categories"]]
    return {
        "thing_classes": names_of(data),
        "thing_dataset_id_to_contiguous_id": {id_: i for i, id_ in enumerate(ids)},
    }


def _to_records(data: dict, image_root: str) -> list[dict]:
    """Convert to Detectron2's standard format, ordered by image id; sorts the lists of `data`."""
    data["images"].sort(key=itemgetter("id"))
    data["categories"].sort(key=itemgetter("id"))
    class_of = _class_metadata(data)["thing_dataset_id_to_contiguous_id"]
    annotations = defaultdict(list)
    for annotation in data["annotations"]:
        annotations[annotation["image_id"]].append(_to_instance(annotation, class_of))
    return [
        {
            **_to_image(image, image_root),
            "image_id": image["id"],
            "annotations": annotations[image["id"]],
        }
        for image in data["images"]
    ]


def _to_image(image: dict, image_root: str) -> dict:
    return {
        "file_name": find_file(image, image_root),
        "height": image["height"],
        "width": image["width"],
    }


def _cut(name: str, data: dict, records: list[dict], long_tail: LongTail | None) -> list[dict]:
    if long_tail is None:
        return records
    return cut_records(name, records, names_of(data), long_tail)


def _to_instance(annotation: dict, class_of: dict[int, int]) -> dict:
    instance = {
        "bbox": annotation["bbox"],
        "bbox_mode": BoxMode.XYWH_ABS,
        "category_id": class_of[annotation["category_id"]],
        # What shall be ignored Detectron2 leaves out of training as it leaves out crowds.
        "iscrowd": int(annotation.get("iscrowd") or annotation.get("ignore") or 0),
    }
    if annotation.get("keypoints"):
        instance["keypoints"] = annotation["keypoints"]
    segmentation = annotation.get("segmentation")
    if isinstance(segmentation, dict) and isinstance(segmentation["counts"], list):
        segmentation = mask_util.frPyObjects(segmentation, *segmentation["size"])
    return instance | ({"segmentation": segmentation} if segmentation else {})

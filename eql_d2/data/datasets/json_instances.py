"""The user's own data: one COCO- or LVIS-format JSON file and a folder of images."""

import os
from collections import defaultdict
from operator import itemgetter

import pycocotools.mask as mask_util
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import BoxMode

from ...exceptions import InputError
from ...files import read_json
from ..category_counts import count_categories
from .checks import check_files, check_name

# Annotation tools round: a box may end this many pixels outside of its image.
_BOX_TOLERANCE = 1.0


def register_json_instances(
    name: str, json_file: str, image_root: str, *, evaluator_type: str | None = None
) -> None:
    """Register a data set in COCO or LVIS format, after checking all of it.

    Category ids may be any integers: classes are ordered by them. Images are found under
    ``image_root`` by the end of their ``coco_url`` where it leads to a file, as in Detectron2's
    LVIS, otherwise by their ``file_name``. The evaluator is LVIS's (federated) if every image has
    ``neg_category_ids`` and ``not_exhaustive_category_ids``, otherwise COCO's.

    Args:
        name: name for ``DATASETS.TRAIN`` and ``DATASETS.TEST``.
        json_file: path of the annotations.
        image_root: folder of the images.
        evaluator_type: chooses another evaluator than that of the file's format.

    Raises:
        InputError: the name is taken; the file is missing, damaged or inconsistent; a box is
            empty or outside of its image; an image file is missing.
    """
    check_name(name)
    data = _read_json(name, json_file)
    records = _to_records(name, data, image_root)
    check_files(f"data set {name!r}", records)

    ids = [category["id"] for category in data["categories"]]
    counts = count_categories(records, ids)
    count_keys = ("id", "image_count", "instance_count")
    rows = zip(ids, counts.image_count.tolist(), counts.instance_count.tolist())
    federated_keys = {"neg_category_ids", "not_exhaustive_category_ids"}
    federated = data["images"] and all(federated_keys <= image.keys() for image in data["images"])
    DatasetCatalog.register(name, lambda: load_json_instances(name, json_file, image_root))
    MetadataCatalog.get(name).set(
        json_file=json_file,
        image_root=image_root,
        evaluator_type=evaluator_type or ("lvis" if federated else "coco"),
        class_image_count=[dict(zip(count_keys, row)) for row in rows],
        num_annotated_images=counts.num_images,
        **_class_metadata(data),
    )


def load_json_instances(name: str, json_file: str, image_root: str) -> list[dict]:
    """Read into Detectron2's standard format, and give `name` the metadata of the classes.

    Raises:
        InputError: as for :func:`register_json_instances`, but the image files are not looked for.
    """
    data = _read_json(name, json_file)
    metadata = MetadataCatalog.get(name)
    if metadata.get("thing_classes") is None:  # known by name only until now
        metadata.set(**_class_metadata(data))
    return _to_records(name, data, image_root)


def read_json_instances(name: str, json_file: str, image_root: str) -> tuple[list[str], list[dict]]:
    """Names of the classes, and the records in Detectron2's standard format; registers nothing.

    Raises:
        InputError: as for :func:`load_json_instances`.
    """
    data = _read_json(name, json_file)
    return _class_metadata(data)["thing_classes"], _to_records(name, data, image_root)


def _class_metadata(data: dict) -> dict:
    categories = data["categories"]
    return {
        "thing_classes": [str(category.get("name", category["id"])) for category in categories],
        "thing_dataset_id_to_contiguous_id": {c["id"]: i for i, c in enumerate(categories)},
    }


def _read_json(name: str, json_file: str) -> dict:
    """The checked content, its images and categories sorted by their ids."""
    where = f"data set {name!r}: annotation file {json_file!r}"
    if not os.path.isfile(json_file):
        raise InputError(f"{where} does not exist: check the path")
    try:
        data = read_json(json_file)
    except InputError as error:
        raise InputError(f"data set {name!r}: {error}") from error
    for key in ("images", "annotations", "categories"):
        if not isinstance(data, dict) or not isinstance(data.get(key), list):
            raise InputError(f"{where} has no list {key!r}: it must be in COCO or LVIS format")
        ids = [entry.get("id") for entry in data[key]]
        if None in ids or len(set(ids)) < len(ids):
            raise InputError(
                f"{where} has {key} without an id or with the same id: make ids unique"
            )
    if not data["categories"]:
        raise InputError(f"{where} has no categories: list those of the data set, with id and name")
    data["images"].sort(key=itemgetter("id"))
    data["categories"].sort(key=itemgetter("id"))
    return data


def _to_records(name: str, data: dict, image_root: str) -> list[dict]:
    """Convert to Detectron2's standard format, ordered by image id."""
    class_of = _class_metadata(data)["thing_dataset_id_to_contiguous_id"]
    images = {image["id"]: image for image in data["images"]}
    annotations = defaultdict(list)
    for annotation in data["annotations"]:
        where = f"data set {name!r}: annotation {annotation['id']}"
        image = images.get(annotation.get("image_id"))
        if image is None:
            raise InputError(
                f"{where} names image {annotation.get('image_id')}, which is not among the images"
            )
        if annotation.get("category_id") not in class_of:
            raise InputError(
                f"{where} has category_id {annotation.get('category_id')}, which is not among the "
                f"{len(class_of)} categories: add the category or remove the annotation"
            )
        _check_box(where, annotation.get("bbox"), image)
        annotations[image["id"]].append(_to_instance(where, annotation, class_of))
    return [
        {
            "file_name": _find_file(image, image_root),
            "height": image["height"],
            "width": image["width"],
            "image_id": image["id"],
            "annotations": annotations[image["id"]],
        }
        for image in data["images"]
    ]


def _to_instance(where: str, annotation: dict, class_of: dict[int, int]) -> dict:
    instance = {
        "bbox": annotation["bbox"],
        "bbox_mode": BoxMode.XYWH_ABS,
        "category_id": class_of[annotation["category_id"]],
        "iscrowd": annotation.get("iscrowd", 0),
    }
    if annotation.get("keypoints"):
        instance["keypoints"] = annotation["keypoints"]
    segmentation = annotation.get("segmentation") or []
    if isinstance(segmentation, list):
        if any(len(polygon) % 2 or len(polygon) < 6 for polygon in segmentation):
            raise InputError(f"{where} has a polygon of less than 3 points: mend or remove it")
    elif isinstance(segmentation["counts"], list):
        segmentation = mask_util.frPyObjects(segmentation, *segmentation["size"])
    return instance | ({"segmentation": segmentation} if segmentation else {})


def _check_box(where: str, box, image: dict) -> None:
    if not isinstance(box, list) or len(box) != 4:
        raise InputError(f"{where} has bbox {box}: it must be [x, y, width, height]")
    x, y, width, height = box
    if not (width > 0 and height > 0):
        raise InputError(f"{where} has bbox {box} of zero area: mend or remove it")
    right, bottom = image["width"] + _BOX_TOLERANCE, image["height"] + _BOX_TOLERANCE
    if min(x, y) < -_BOX_TOLERANCE or x + width > right or y + height > bottom:
        raise InputError(
            f"{where} has bbox {box}, outside of its image of {image['width']} x "
            f"{image['height']} pixels: clip it (the format is [x, y, width, height])"
        )


def _find_file(image: dict, image_root: str) -> str:
    """Path by the end of ``coco_url``, with or without its folder, else by ``file_name``. LVIS v0.5
    has both, and its file names are those of 2014."""
    paths = []
    if "coco_url" in image:
        folder, file_name = image["coco_url"].split("/")[-2:]
        paths += [os.path.join(image_root, folder, file_name), os.path.join(image_root, file_name)]
    if "file_name" in image:
        paths.append(os.path.join(image_root, image["file_name"]))
    return next((path for path in paths if os.path.isfile(path)), paths[-1])

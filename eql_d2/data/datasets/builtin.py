"""Data sets known by name under ``DETECTRON2_DATASETS``, besides those of Detectron2.

No file is read before a data set is used.
"""

import functools
import os
from operator import itemgetter

from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.utils.file_io import PathManager

from ...files import read_ground_truth_json
from .image_lists import register_builtin_image_lists
from .json_instances import load_json_instances, register_json_instances


def register_open_images(name: str, json_file: str, image_root: str) -> None:
    """Register a file of the converter ``eql_d2.data.datasets.open_images``, after checking it.

    The same as :func:`register_json_instances`, evaluated as Open Images.
    """
    register_json_instances(name, json_file, image_root, evaluator_type="open_images")


def register_builtin_open_images(root: str) -> None:
    """Register the challenge's training and validation data under `root`."""
    for split, folder in (("train", "train"), ("val", "validation")):
        name = f"openimages_challenge_2019_{split}"
        json_file = os.path.join(root, f"openimages/annotations/challenge_2019_{split}.json")
        image_root = os.path.join(root, f"openimages/{folder}")
        DatasetCatalog.register(
            name, functools.partial(load_json_instances, name, json_file, image_root)
        )
        MetadataCatalog.get(name).set(
            json_file=json_file, image_root=image_root, evaluator_type="open_images"
        )


def register_builtin_lvis_tests() -> None:
    """Let the test data of LVIS load, which have no annotations: Detectron2's loader ends in a
    KeyError."""
    for name in ("lvis_v1_test_dev", "lvis_v1_test_challenge", "lvis_v0.5_test"):
        metadata = MetadataCatalog.get(name)
        paths = metadata.json_file, metadata.image_root
        DatasetCatalog.remove(name)
        DatasetCatalog.register(name, functools.partial(load_lvis_images, *paths))


def load_lvis_images(json_file: str, image_root: str) -> list[dict]:
    """Records in Detectron2's standard format, without annotations, found as its LVIS loader does
    it: by the folder and name at the end of ``coco_url``.

    Raises:
        InputError: the file cannot be read, or is of another format.
    """
    images = read_ground_truth_json(PathManager.get_local_path(json_file))["images"]
    lists = ("neg_category_ids", "not_exhaustive_category_ids")
    return [
        {
            "file_name": os.path.join(image_root, *image["coco_url"].split("/")[-2:]),
            "height": image["height"],
            "width": image["width"],
            "image_id": image["id"],
            "annotations": [],
            **{key: image.get(key, []) for key in lists},
        }
        for image in sorted(images, key=itemgetter("id"))
    ]


_ROOT = os.path.expanduser(os.getenv("DETECTRON2_DATASETS", "datasets"))
register_builtin_open_images(_ROOT)
register_builtin_image_lists(_ROOT)
register_builtin_lvis_tests()

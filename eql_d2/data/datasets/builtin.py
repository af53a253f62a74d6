"""Data sets known by name under ``DETECTRON2_DATASETS``, besides those of Detectron2.

No file is read before a data set is used.
"""

import functools
import os

from detectron2.data import DatasetCatalog, MetadataCatalog

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


_ROOT = os.path.expanduser(os.getenv("DETECTRON2_DATASETS", "datasets"))
register_builtin_open_images(_ROOT)
register_builtin_image_lists(_ROOT)

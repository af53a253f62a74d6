"""What a user of the book has: small data sets, by the names that the pages use."""

import json
from pathlib import Path

from tests.conftest import make_annotations
from tests.data.class_images import make_class_folders
from tests.data.label_map_folders import make_mask_folder


def make_boxes(folder: Path) -> None:
    """``train.json``, ``val.json`` in COCO format and ``images/``: five classes, eight images."""
    (folder / "images").mkdir(exist_ok=True)
    for split in ("train", "val"):
        (folder / "images" / split).mkdir()
        content = make_annotations(folder / "images" / split, federated=False)
        for image in content["images"]:
            image["file_name"] = f"{split}/{image['file_name']}"
        (folder / f"{split}.json").write_text(json.dumps(content))


def make_classes(folder: Path) -> None:
    """``photos/train/`` and ``photos/val/``, a folder of images for each of six classes."""
    make_class_folders(folder / "photos/train", [12, 8, 6, 4, 3, 2])
    make_class_folders(folder / "photos/val", [2] * 6)


def make_masks(folder: Path) -> None:
    """``scenes/train`` and ``scenes/val`` with images and label maps, ``classes.txt``."""
    for split in ("train", "val"):
        make_mask_folder(folder / "scenes" / split)
    (folder / "classes.txt").symlink_to("scenes/train/classes.txt")


KINDS = {"boxes": make_boxes, "classes": make_classes, "masks": make_masks}

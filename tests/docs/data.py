"""What a user of the book has: small data sets, by the names that the pages use."""

import json
from pathlib import Path

import torch

from tests.conftest import make_annotations
from tests.data.class_images import make_class_folders
from tests.data.label_map_folders import make_mask_folder
from tests.reference.foreign_models import mmdet_mask_rcnn, random_tensor


def make_boxes(folder: Path) -> None:
    """``train.json``, ``val.json`` in COCO format and ``images/``: five classes, eight images."""
    (folder / "images").mkdir(exist_ok=True)
    for seed, split in enumerate(("train", "val")):
        (folder / "images" / split).mkdir()
        content = make_annotations(folder / "images" / split, seed=seed, federated=False)
        for image in content["images"]:
            image["file_name"] = f"{split}/{image['file_name']}"
        (folder / f"{split}.json").write_text(json.dumps(content))


def make_classes(folder: Path) -> None:
    """``photos/train/`` and ``photos/val/``, a folder of images for each of six classes."""
    make_class_folders(folder / "photos/train", [12, 8, 6, 4, 3, 2])
    make_class_folders(folder / "photos/val", [2] * 6, seed=1)


def make_masks(folder: Path) -> None:
    """``scenes/train`` and ``scenes/val`` with images and label maps, ``classes.txt``."""
    for seed, split in enumerate(("train", "val")):
        make_mask_folder(folder / "scenes" / split, seed=seed)
    (folder / "classes.txt").symlink_to("scenes/train/classes.txt")


def make_foreign(folder: Path) -> None:
    """``mmdet_mask_rcnn.pth``, of five classes, with random weights; quick: it sees background."""
    state = mmdet_mask_rcnn(random_tensor, num_classes=5, num_columns=6)
    state["roi_head.bbox_head.fc_cls.bias"][-1] = 100.0
    torch.save({"state_dict": state}, folder / "mmdet_mask_rcnn.pth")


KINDS = {
    "boxes": make_boxes,
    "classes": make_classes,
    "masks": make_masks,
    "foreign": make_foreign,
}

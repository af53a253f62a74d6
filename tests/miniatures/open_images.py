"""Open Images Challenge 2019: the csv files of the challenge, converted by the project."""

import csv
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from eql_d2.data.datasets.open_images import convert_open_images

from .scenes import save, scenes

NUM_CLASSES = 500
_SPLITS = {"train": 4, "validation": 2}  # pictures
_CLASSES = "challenge-2019-classes-description-500.csv"
_HIERARCHY = "challenge-2019-label500-hierarchy.json"
_ROOT_LABEL = "/m/0bl9f"  # "Entity", which is not among the classes


def make_open_images(root: Path) -> None:
    """Write ``openimages/{train,validation}`` and ``openimages/annotations``, with the converted
    ``challenge_2019_{train,val}.json``."""
    folder = root / "openimages"
    annotations = folder / "annotations"
    annotations.mkdir(parents=True, exist_ok=True)
    _write(annotations / _CLASSES, [(_label(k), f"Class {k}") for k in range(NUM_CLASSES)])
    (annotations / _HIERARCHY).write_text(json.dumps(_hierarchy()))
    for seed, (split, number) in enumerate(_SPLITS.items(), start=10):
        boxes = [("ImageID", "LabelName", "XMin", "XMax", "YMin", "YMax", "IsGroupOf")]
        labels = [("ImageID", "LabelName", "Confidence")]
        for i, scene in enumerate(scenes(seed, number)):
            image_id = hashlib.md5(f"{split}{i}".encode()).hexdigest()[:16]
            save(scene.pixels, folder / split / f"{image_id}.jpg")
            width, height = scene.size
            for k, (x, y, w, h) in enumerate(scene.objects):
                corners = (x / width, (x + w) / width, y / height, (y + h) / height)
                is_group = int(k == 3)
                # Class 10 in each image, then of another parent; the last is a group.
                label = _label((10, 25 + i, 137, 499)[k])
                boxes.append((image_id, label, *(f"{c:.6f}" for c in corners), is_group))
                labels.append((image_id, label, 1))
            labels.append((image_id, _label(300), 0))
        names = {
            "boxes_csv": f"challenge-2019-{split}-detection-bbox.csv",
            "image_labels_csv": f"challenge-2019-{split}-detection-human-imagelabels.csv",
        }
        for rows, name in zip((boxes, labels), names.values()):
            _write(annotations / name, rows)
        convert_open_images(
            **{key: annotations / name for key, name in names.items()},
            classes_csv=annotations / _CLASSES,
            image_folder=folder / split,
            output_json=annotations / f"challenge_2019_{split.removesuffix('idation')}.json",
            hierarchy_json=annotations / _HIERARCHY,
        )


def _label(k: int) -> str:
    """In the form of a Freebase id."""
    return f"/m/0{k:03d}x"


def _hierarchy() -> dict:
    """Three levels: class k is a child of class k / 10, those below 10 of the root."""
    nodes = [{"LabelName": _label(k)} for k in range(NUM_CLASSES)]
    for k in range(10, NUM_CLASSES):
        nodes[k // 10].setdefault("Subcategory", []).append(nodes[k])
    return {"LabelName": _ROOT_LABEL, "Subcategory": nodes[:10]}


def _write(path: Path, rows: Iterable[tuple]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)

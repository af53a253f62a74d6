"""A good annotation file, and one thing in it that is changed.

A change gets the content of the good file and its folder. What it returns is written in its place,
bytes as they are, ``FOLDER`` nothing; None writes the content, changed in place.
"""

import json
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("cat", "dog", "fish")
COUNTS = {"cat": 4, "dog": 2, "fish": 1}
FOLDER = object()  # in the place of a file


def good(folder: Path) -> dict:
    """Four images of 40 x 30 with boxes and polygons of three classes."""
    (folder / "images").mkdir()
    images, annotations = [], []
    for i in range(4):
        pixels = np.random.default_rng(i).integers(0, 255, (30, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"images/{i}.png")
        images.append({"id": i + 1, "file_name": f"{i}.png", "width": 40, "height": 30})
        for k, count in enumerate(COUNTS.values()):
            if i < count:
                x, y, width, height = 2 + 10 * k, 3 + i, 8, 12
                corners = [x, y, x + width, y, x + width, y + height, x, y + height]
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": i + 1,
                        "category_id": k + 1,
                        "bbox": [x, y, width, height],
                        "area": width * height,
                        "iscrowd": 0,
                        "segmentation": [corners],
                    }
                )
    categories = [{"id": k + 1, "name": name} for k, name in enumerate(CLASSES)]
    return {"images": images, "annotations": annotations, "categories": categories}


def as_it_is(content, folder):
    """No change."""


def numbered_from_zero(content, folder):
    for i, annotation in enumerate(content["annotations"]):
        annotation["id"] = i


def all_images(**fields):
    def change(content, folder):
        for image in content["images"]:
            image.update(fields)

    return change


def all_annotations(**fields):
    def change(content, folder):
        for annotation in content["annotations"]:
            annotation.update(fields)

    return change


def without(entries, key):
    def change(content, folder):
        for entry in content[entries]:
            del entry[key]

    return change


def first_annotation(**fields):
    def change(content, folder):
        content["annotations"][0].update(fields)

    return change


def of_images(name):
    """Another file name for each image, made by a function of the present one."""

    def change(content, folder):
        for image in content["images"]:
            image["file_name"] = name(image["file_name"])

    return change


def with_root(name):
    """Roboflow's: a category 0 that the others name as their supercategory."""

    def change(content, folder):
        for category in content["categories"]:
            category["supercategory"] = name
        root = {"id": 0, "name": name, "supercategory": "none"}
        content["categories"].insert(0, root)

    return change


def doubled_ids(content, folder):
    content["annotations"][1]["id"] = content["annotations"][0]["id"]


def shares(content, folder):
    for annotation in content["annotations"]:
        x, y, width, height = annotation["bbox"]
        annotation["bbox"] = [x / 40, y / 30, width / 40, height / 30]


def off_by_one(content, folder):
    for category in content["categories"]:
        category["id"] -= 1


def flat_polygons(content, folder):
    for annotation in content["annotations"]:
        (annotation["segmentation"],) = annotation["segmentation"]


def as_bytes(encode):
    return lambda content, folder: encode(json.dumps(content))


def fourth_class(content, folder):
    content["categories"].append({"id": 9, "name": "unseen"})


def ignored(content, folder):
    content["annotations"][-1]["ignore"] = 1


def results(content, folder):
    keys = ("image_id", "category_id", "bbox")
    return [{**{key: x[key] for key in keys}, "score": 0.5} for x in content["annotations"]]


def panoptic(content, folder):
    segments = [{"id": 7, "category_id": 1, "area": 9, "bbox": [1, 1, 3, 3], "iscrowd": 0}]
    content["annotations"] = [
        {"image_id": x["id"], "file_name": x["file_name"], "segments_info": segments}
        for x in content["images"]
    ]


def labelme(content, folder):
    shape = {"label": "cat", "points": [[1, 1], [9, 9]], "shape_type": "rectangle"}
    return {"version": "5.4.1", "flags": {}, "shapes": [shape], "imagePath": "0.png"}


def via(content, folder):
    region = {"shape_attributes": {"name": "rect", "x": 1, "y": 1, "width": 8, "height": 8}}
    return {"0.png123": {"filename": "0.png", "size": 123, "regions": [region]}}


def inaturalist(content, folder):
    content["annotations"] = [
        {"id": x["id"], "image_id": x["image_id"], "category_id": x["category_id"]}
        for x in content["annotations"]
    ]


def a_folder(content, folder):
    (folder / "train.json").mkdir()
    return FOLDER


def a_broken_image(content, folder):
    (folder / "images/0.png").write_bytes(b"no image")

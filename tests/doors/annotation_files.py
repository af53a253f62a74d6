"""Annotation files that are bad or odd in one thing."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from . import changes
from .changes import COUNTS, FOLDER, good


class Data(NamedTuple):
    """An annotation file.

    Attributes:
        change: gets the content of a good file and its folder; what it returns is written in its
            place, bytes as they are; None writes the content.
        refused: what the line of every door has, as a regular expression; None: it is taken.
        counts: images of each class where it is taken.
        said: what a line of each door that reads the images has, where it is taken.
    """

    change: Callable[[dict, Path], Any]
    refused: str | None = None
    counts: dict[str, int] = COUNTS
    said: str | None = None


def write(given: Data, folder: Path) -> None:
    """Write ``train.json`` and ``images``."""
    content = good(folder)
    changed = given.change(content, folder)
    content = content if changed is None else changed
    if content is FOLDER:
        return
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    (folder / "train.json").write_bytes(data)


# What came out of a door, in 0.2, beside each: AP < 100, a class too many, a refusal, a traceback.
TAKEN = {
    "as it is": Data(changes.as_it_is),
    "ids of annotations from 0": Data(changes.numbered_from_zero),
    "one id for all annotations": Data(changes.all_annotations(id=7), said="with the same id 7"),
    "empty coco_url": Data(changes.all_images(coco_url="")),
    "coco_url without a folder": Data(changes.all_images(coco_url="0.png")),
    "urls and dates that say nothing": Data(
        changes.all_images(flickr_url="", date_captured=0, license="None")
    ),
    "root category": Data(changes.with_root("project"), said="is the supercategory of all others"),
    "root category with a class's name": Data(
        changes.with_root("dog"), said="supercategory of all"
    ),
    "box a little outside": Data(
        changes.first_annotation(bbox=[-1.2, 3, 9, 12]), said="it is clipped"
    ),
    "broken polygon": Data(
        changes.first_annotation(segmentation=[[2, 3, 9, 9]]),
        counts={**COUNTS, "cat": COUNTS["cat"] - 1},
        said="passed over",
    ),
    "no areas": Data(changes.without("annotations", "area"), said="has no area"),
    "no iscrowd": Data(changes.without("annotations", "iscrowd"), said="has no iscrowd"),
    "UTF-8 with a BOM": Data(changes.as_bytes(lambda text: text.encode("utf-8-sig"))),
    "category without an image": Data(
        changes.fourth_class,
        counts=COUNTS | {"unseen": 0},
        said="category 9 .'unseen'. has no annotation",
    ),
}
REFUSED = {
    "flat polygons": Data(changes.flat_polygons, "has segmentation .2, 3, 10"),
    "ids as text": Data(changes.all_annotations(id="7"), "has id '7'"),
    "boxes as shares": Data(changes.shares, "all boxes are 0 to 1: give pixels"),
    "category ids off by one": Data(
        changes.off_by_one, "annotations count from 1, the categories from 0"
    ),
    "box of nan": Data(
        changes.first_annotation(bbox=[float("nan"), 1, 2, 2]), "which is not finite"
    ),
    "box far outside": Data(
        changes.first_annotation(bbox=[20, 10, 38, 29]), "outside of its image of 40"
    ),
    "box of negative size": Data(changes.first_annotation(bbox=[9, 9, -4, 4]), "of negative size"),
    "no box": Data(changes.without("annotations", "bbox"), "has bbox None"),
    "no sizes": Data(changes.without("images", "width"), "has width x height None x 30"),
    "unknown image": Data(
        changes.first_annotation(image_id=99), "names image 99, which is not among"
    ),
    "no categories": Data(lambda c, f: c["categories"].clear(), "has no categories"),
    "results": Data(changes.results, "is a list of results"),
    "panoptic": Data(changes.panoptic, "panoptic COCO"),
    "labelme": Data(changes.labelme, "is labelme's"),
    "VIA": Data(changes.via, "is VIA's"),
    "iNaturalist": Data(changes.inaturalist, "labels of whole images"),
    "gzip": Data(changes.as_bytes(lambda text: gzip.compress(text.encode())), "compressed by gzip"),
    "UTF-16": Data(changes.as_bytes(lambda text: text.encode("utf-16")), "is UTF-16"),
    "YOLO": Data(changes.as_bytes(lambda text: b"0 0.5 0.5 0.2 0.2\n"), "is YOLO's"),
    "VOC": Data(changes.as_bytes(lambda text: b"<annotation></annotation>"), "is Pascal VOC's XML"),
    "CSV": Data(changes.as_bytes(lambda text: b"filename,xmin\na.png,3\n"), "is a CSV table"),
    "nothing": Data(changes.as_bytes(lambda text: b""), "is empty"),
    "cut off": Data(changes.as_bytes(lambda text: text[:-40].encode()), "is not valid JSON"),
    "a folder": Data(changes.a_folder, "is a folder|has no class folder"),
}
# Of the images, which `report --data` does not open
REFUSED_IMAGES = {
    "backslashes": Data(changes.of_images(lambda name: f"sub\\{name}"), "has the . of Windows"),
    "another case": Data(changes.of_images(str.upper), "capitals and small letters differ"),
    "doubled folder": Data(
        changes.of_images(lambda name: f"images/{name}"), "'images' is there twice"
    ),
    "URLs": Data(changes.of_images(lambda name: f"https://x.org/{name}"), "it is a URL"),
    "absent": Data(changes.of_images(lambda name: f"x{name}"), "missing image|images are missing"),
    "outside": Data(changes.of_images(lambda name: f"../{name}"), "which leads out of"),
    "a broken image": Data(changes.a_broken_image, "0.png'"),
    "another size": Data(
        changes.all_images(width=41), "is of 40 x 30 pixels but annotated with 41 x 30"
    ),
}

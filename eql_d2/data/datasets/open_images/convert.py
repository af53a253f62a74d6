"""Open Images Challenge 2019 (500 classes) as a COCO-format file.

    python -m eql_d2.data.datasets.open_images BOXES_CSV CLASSES_CSV IMAGE_FOLDER OUTPUT_JSON \
        [--hierarchy HIERARCHY_JSON] [--image-labels LABELS_CSV]

The files are those of https://storage.googleapis.com/openimages/web/challenge2019_downloads.html.
The boxes of the training set are 14 million rows: they are streamed, and what stays in memory is
the images (about 200 bytes each) and 8 bytes for each box and each image label.
"""

import argparse
import json
import os
import shutil
import tempfile
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, TextIO

import numpy as np

from ....exceptions import InputError
from ....files import open_atomic
from ...image_files import read_header
from ...validation.limits import leads_outside
from .classes import OpenImagesClasses, read_classes, read_hierarchy
from .csv_files import read_rows, to_pixels

_BOX_COLUMNS = ("ImageID", "LabelName", "XMin", "XMax", "YMin", "YMax", "IsGroupOf")
_LABEL_COLUMNS = ("ImageID", "LabelName", "Confidence")


class Conversion(NamedTuple):
    """What has been written, and how many boxes less than a thousandth of a pixel were left out."""

    num_images: int
    num_annotations: int
    num_without_area: int


def convert_open_images(
    boxes_csv: str | os.PathLike,
    classes_csv: str | os.PathLike,
    image_folder: str | os.PathLike,
    output_json: str | os.PathLike,
    *,
    hierarchy_json: str | os.PathLike | None = None,
    image_labels_csv: str | os.PathLike | None = None,
) -> Conversion:
    """Write a COCO-format file of the official csv files; it appears complete or not at all.

    Beyond COCO's, the keys are:

    - categories: `freebase_id`, and `image_count` and `instance_count` over this file's boxes
      that are not group-of. Ids are 1, 2, ... in the order of `classes_csv`.
    - annotations: `is_group_of`. `iscrowd` is the same: Detectron2 does not train on crowds.
    - images: `pos_category_ids` and `neg_category_ids`, the classes verified to be present and
      to be absent; only with `image_labels_csv`, whose images are all included.
    - `hierarchy`: list of the ids of the children by the parent's id; only with `hierarchy_json`.

    Boxes are annotated with their most specific class, nothing is expanded.

    Args:
        boxes_csv: ``challenge-2019-{train,validation}-detection-bbox.csv``.
        classes_csv: ``challenge-2019-classes-description-500.csv``, without a header.
        image_folder: has ``<ImageID>.jpg`` for each image; their headers are read.
        output_json: replaced if it exists.
        hierarchy_json: ``challenge-2019-label500-hierarchy.json``.
        image_labels_csv: ``challenge-2019-{train,validation}-detection-human-imagelabels.csv``.

    Raises:
        InputError: a file, a column or an image is missing, a label is not among the classes, a
            coordinate is not in [0, 1], or a confidence is neither 0 nor 1.
    """
    classes = read_classes(classes_csv)
    hierarchy = read_hierarchy(hierarchy_json, classes) if hierarchy_json else None
    images = _Images(Path(image_folder))
    output_json = Path(output_json)
    output_json.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile("w+", dir=output_json.parent, encoding="utf-8") as annotations:
        occurrences, done = _write_boxes(annotations, boxes_csv, classes, images)
        labels = _read_labels(image_labels_csv, classes, images) if image_labels_csv else None
        annotations.seek(0)
        with open_atomic(output_json) as file:
            # Categories first and on a line of their own: `read_categories` needs no more.
            file.write(f'{{"categories": {json.dumps(_categories(classes, occurrences))},\n')
            if hierarchy is not None:
                file.write(f'"hierarchy": {json.dumps(hierarchy)},\n')
            file.write('"images": [')
            for i, image in enumerate(images.records(labels, classes)):
                file.write(",\n" * (i > 0) + json.dumps(image))
            file.write('],\n"annotations": [')
            shutil.copyfileobj(annotations, file, 1 << 20)
            file.write("]}\n")
    return Conversion(len(images), *done)


class _Images:
    """The images by order of appearance, with their sizes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._index: dict[str, int] = {}
        self._sizes = array("i")

    def __len__(self) -> int:
        return len(self._index)

    def index(self, image_id: str) -> int:
        """Index of an image, from 0; its header is read when it first appears."""
        if image_id not in self._index:
            if leads_outside(str(self._folder), f"{image_id}.jpg"):
                raise InputError(
                    f"ImageID {image_id!r} leads out of the folder {str(self._folder)!r}: remove "
                    "its rows"
                )
            self._sizes.extend(_read_size(self._folder / f"{image_id}.jpg"))
            self._index[image_id] = len(self._index)
        return self._index[image_id]

    def size(self, index: int) -> tuple[int, int]:
        """Width and height in pixels."""
        return self._sizes[2 * index], self._sizes[2 * index + 1]

    def records(self, labels: np.ndarray | None, classes: OpenImagesClasses) -> Iterator[dict]:
        """Entries of the COCO format, with the verified classes if there are `labels`."""
        stride = 2 * len(classes)
        if labels is not None:
            ends = np.searchsorted(labels, np.arange(1, len(self) + 1) * stride)
        start = 0
        for index, image_id in enumerate(self._index):
            record = {"id": index + 1, "file_name": f"{image_id}.jpg"}
            record["width"], record["height"] = self.size(index)
            if labels is not None:
                own = labels[start : ends[index]] - index * stride
                record["pos_category_ids"] = (own[own % 2 == 1] // 2 + 1).tolist()
                record["neg_category_ids"] = (own[own % 2 == 0] // 2 + 1).tolist()
                start = ends[index]
            yield record


def _write_boxes(
    file: TextIO, boxes_csv: str | os.PathLike, classes: OpenImagesClasses, images: _Images
) -> tuple[np.ndarray, tuple[int, int]]:
    """Write the items of COCO's list of annotations.

    Returns:
        Image index * number of classes + class of each box that is not group-of, int64; and the
        numbers of boxes written and left out.
    """
    occurrences = array("q")
    num_annotations = num_without_area = 0
    for line, (image_id, label, *coordinates, group_of) in read_rows(boxes_csv, _BOX_COLUMNS):
        where = f"{boxes_csv} line {line}"
        index = images.index(image_id)
        bbox = to_pixels(where, coordinates, *images.size(index))
        class_index = classes.index(label, where)
        if bbox[2] == 0 or bbox[3] == 0:
            num_without_area += 1
            continue
        is_group_of = int(group_of == "1")
        if not is_group_of:
            occurrences.append(index * len(classes) + class_index)
        file.write(",\n" * (num_annotations > 0))
        num_annotations += 1
        annotation = {
            "id": num_annotations,
            "image_id": index + 1,
            "category_id": class_index + 1,
            "bbox": bbox,
            "area": round(bbox[2] * bbox[3], 3),
            "iscrowd": is_group_of,
            "is_group_of": is_group_of,
        }
        file.write(json.dumps(annotation))
    return np.array(occurrences, dtype=np.int64), (num_annotations, num_without_area)


def _categories(classes: OpenImagesClasses, occurrences: np.ndarray) -> list[dict]:
    """COCO's list of categories, with the counts."""
    num_classes = len(classes)
    columns = {
        "id": range(1, num_classes + 1),
        "name": classes.names.values(),
        "freebase_id": classes.names,
        "image_count": np.bincount(np.unique(occurrences) % num_classes, minlength=num_classes),
        "instance_count": np.bincount(occurrences % num_classes, minlength=num_classes),
    }
    columns |= {key: columns[key].tolist() for key in ("image_count", "instance_count")}
    return [dict(zip(columns, row)) for row in zip(*columns.values())]


def _read_labels(
    path: str | os.PathLike, classes: OpenImagesClasses, images: _Images
) -> np.ndarray:
    """Sorted int64, for each label 2 * (image index * number of classes + class) + present."""
    labels = array("q")
    for line, (image_id, label, confidence) in read_rows(path, _LABEL_COLUMNS):
        where = f"{path} line {line}"
        if confidence not in ("0", "1", "0.0", "1.0"):
            raise InputError(
                f"{where} has Confidence {confidence!r}: labels verified by people have 0 or 1"
            )
        occurrence = images.index(image_id) * len(classes) + classes.index(label, where)
        labels.append(2 * occurrence + int(float(confidence)))
    return np.unique(np.array(labels, dtype=np.int64))


def _read_size(path: Path) -> tuple[int, int]:
    """Width and height as Detectron2 reads the image: turned as its EXIF orientation says."""
    if not path.is_file():
        raise InputError(f"image {str(path)!r} does not exist: fetch it, or leave out its rows")
    header = read_header(str(path))
    return header.width, header.height


def main() -> None:
    parser = argparse.ArgumentParser(description="Convert Open Images csv files to COCO format.")
    parser.add_argument("boxes_csv")
    parser.add_argument("classes_csv")
    parser.add_argument("image_folder")
    parser.add_argument("output_json")
    parser.add_argument("--hierarchy", dest="hierarchy_json", metavar="HIERARCHY_JSON")
    parser.add_argument("--image-labels", dest="image_labels_csv", metavar="LABELS_CSV")
    args = parser.parse_args()
    try:
        done = convert_open_images(**vars(args))
    except InputError as error:
        parser.exit(1, f"error: {error}\n")
    print(
        f"{args.output_json}: {done.num_images} images, {done.num_annotations} boxes; "
        f"{done.num_without_area} boxes without area left out"
    )

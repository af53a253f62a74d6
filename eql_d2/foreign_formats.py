"""Annotation formats that are not read here, known by their content: what each is, and the way on.

What is said of a file follows its name: "train.txt" "is YOLO's text: ...".
"""

import contextlib
import json
import os
from collections.abc import Iterator
from typing import Any

# Of the book, docs/from_your_tool.md
_PAGE = "the page 'From your tool' has the commands"
_GLOBOX = f"globox converts it to COCO ({_PAGE})"
_DATUMARO = f"Datumaro converts it to COCO ({_PAGE})"
_EXPORT = "export COCO from it"
_YOLO = f"YOLO's, one text file an image and no image sizes: {_DATUMARO}"
_VOC = f"Pascal VOC's XML, one file an image: {_GLOBOX}"
_VIA = "VIA's: take its 'Export Annotations (COCO format)'"

_UTF_16 = "is UTF-16, as Windows' PowerShell writes it: iconv -f UTF-16 -t UTF-8 OLD > NEW"
_PACKED = "is compressed: unpack it and give the file in it"
_IMAGE = "is an image: give the file of its annotations"
_FIRST_BYTES = {
    b"\x1f\x8b": "is compressed by gzip: gunzip it",
    b"PK\x03\x04": "is a zip archive: unzip it and give the file in it",
    **dict.fromkeys((b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf"), _PACKED),
    **dict.fromkeys((b"\xff\xfe", b"\xfe\xff"), _UTF_16),
    **dict.fromkeys((b"\x89PNG", b"\xff\xd8\xff", b"GIF8"), _IMAGE),
    b"PAR1": f"is a Parquet table, as of Hugging Face: write a COCO file from it ({_PAGE})",
}

# By how a text begins, in lower case
_BEGINNINGS = {
    "<annotation>": f"is {_VOC}",
    "<annotations>": f"is CVAT's XML: export 'COCO 1.0' from CVAT, or {_DATUMARO}",
    "<!doctype html": "is a web page, saved in place of the file: download the file itself",
    "<html": "is a web page, saved in place of the file: download the file itself",
    "<": f"is XML: {_EXPORT}",
    "version https://git-lfs": "is a pointer of Git LFS, not the file: git lfs pull",
}
_TABLE = f"is a CSV table: {_EXPORT}, or write a COCO file from it ({_PAGE})"
# Columns of tables of annotations, in lower case, and what such a table is
_COLUMNS = {
    "region_shape_attributes": f"is a CSV table of {_VIA}",
    "labelname": "is a CSV table of Open Images: python -m eql_d2.data.datasets.open_images",
    **dict.fromkeys(("filename", "xmin", "x_min", "bbox", "image_id", "label", "class"), _TABLE),
}

# Keys of a JSON object, all of them, and what it is
_KEYS = {
    ("shapes", "imagePath"): "is labelme's, one file an image: its own labelme2coco.py converts "
    f"the folder to COCO ({_PAGE})",
    ("_via_img_metadata",): f"is a project of {_VIA}",
    ("project", "file", "metadata"): f"is a project of {_VIA}",
    ("items", "categories"): f"is Datumaro's own: {_DATUMARO}",
    ("objects", "size"): f"is Supervisely's, one file an image: {_EXPORT}",
    ("samples",): f"is FiftyOne's own: {_EXPORT} (fiftyone.types.COCODetectionDataset)",
    ("assets", "tags"): f"is VoTT's: {_EXPORT}",
    ("LabelName", "Subcategory"): "is the hierarchy of Open Images: give the annotations",
    ("type", "features"): f"is GeoJSON: {_EXPORT}, in pixels",
}
_LIST_KEYS = {
    ("image_id", "category_id", "score"): "is a list of results, detections with scores: give the "
    "file of the annotations that they were made for",
    ("image_id", "category_id"): "is a list of annotations alone: COCO format is an object of "
    "'images', 'annotations' and 'categories'",
    ("data", "annotations"): f"is Label Studio's JSON: {_EXPORT} ({_PAGE})",
    ("data", "completions"): f"is Label Studio's JSON: {_EXPORT} ({_PAGE})",
    ("image", "annotator"): f"is Label Studio's JSON-MIN: {_EXPORT} ({_PAGE})",
    ("image", "annotations"): f"is CreateML's: {_EXPORT}",
    ("name", "labels"): f"is BDD100K's (Scalabel): {_EXPORT} by its to_coco",
    ("shapes", "version"): "is a backup of CVAT's: export 'COCO 1.0' from CVAT",
}
# Of an entry of "annotations"
_ANNOTATION_KEYS = {
    "segments_info": "is panoptic COCO, segments of PNG files: give the instances_*.json of the "
    "same images, or register it by Detectron2's register_coco_panoptic",
    "caption": "is COCO's captions, without boxes: give the instances_*.json of the same images",
}
_OF_WHOLE_IMAGES = (
    "has labels of whole images, no boxes, as iNaturalist's: they are classification's, in class "
    f"folders or a list of images ({_PAGE})"
)
_PLACES = ("bbox", "segmentation", "keypoints", *_ANNOTATION_KEYS)
_NAMES = {"data.yaml", "dataset.yaml", "obj.data", "obj.names"}
_ENDINGS = (".json", ".xml", ".txt", ".csv")
# Files of a folder that are looked at, at most
_MOST_FILES = 50


def binary_format(head: bytes) -> str | None:
    """What a file is that begins with other bytes than a text in UTF-8.

    Args:
        head: its first bytes, 4 or more if it has so many.

    Returns:
        The predicate of a sentence, with the way on; None for a text, as far as can be told.
    """
    known = (says for start, says in _FIRST_BYTES.items() if head.startswith(start))
    # Without the mark, the digits and letters of UTF-16 have a zero beside them.
    return next(known, _UTF_16 if b"\0" in head[:2] and head[:4].count(0) == 2 else None)


def text_format(text: str) -> str | None:
    """What a text is that is no JSON; as :func:`binary_format`."""
    text = text[:10_000].lstrip()
    lines = text.splitlines()
    start = text.removeprefix(lines[0]).lstrip() if text.startswith("<?xml") else text
    for beginning, says in _BEGINNINGS.items():
        if start.lower().startswith(beginning):
            return says
    if not lines:
        return "is empty: copy it again"
    if len(lines) > 1 and lines[0].startswith("{") and lines[0].endswith("}"):
        return f"is JSON lines, an object a line: {_EXPORT}, or write a COCO file from it ({_PAGE})"
    columns = [column.strip('" ').lower() for column in lines[0].replace(";", ",").split(",")]
    if len(columns) > 1:
        known = (says for column, says in _COLUMNS.items() if column in columns)
        return next(known, None)
    if all(map(_is_yolo, lines[: -1 if len(lines) > 1 else None])):
        return f"is {_YOLO}"
    if any(line.startswith("names:") for line in lines):
        return f"describes data in YOLO's format: {_DATUMARO}"
    return None


def json_format(content: Any) -> str | None:
    """What parsed JSON is that is not the COCO format of instances; as :func:`binary_format`."""
    if isinstance(content, list):
        return _keys_say(_LIST_KEYS, content[0]) if content else None
    if not isinstance(content, dict):
        return None
    annotations = content.get("annotations")
    if isinstance(annotations, list) and isinstance(content.get("images"), list):
        return _annotations_say(annotations)
    regions = [value for value in content.values() if isinstance(value, dict)]
    if regions and all({"filename", "regions"} <= region.keys() for region in regions):
        return f"is {_VIA}"
    return _keys_say(_KEYS, content)


def list_format(text: str) -> str | None:
    """What a text is that should be a list, an entry a line; as :func:`binary_format`."""
    ends = text.strip()[:1] + text.strip()[-1:]
    if ends in ("{}", "[]"):
        with contextlib.suppress(ValueError, RecursionError):
            return json_format(json.loads(text)) or "is JSON: write a text file, an entry a line"
    return text_format(text) if text.strip() else None


def folder_format(folder: str | os.PathLike) -> str | None:
    """What the first file of annotations below a folder is; as :func:`binary_format`."""
    for path in _first_files(folder):
        says = _file_says(path)
        if says is not None:
            return f"has {os.path.relpath(path, folder)!r}, which {says}"
    return None


def _keys_say(known: dict[tuple[str, ...], str], entry: Any) -> str | None:
    if not isinstance(entry, dict):
        return None
    return next((says for keys, says in known.items() if entry.keys() >= set(keys)), None)


def _annotations_say(annotations: list) -> str | None:
    if not annotations or not all(isinstance(entry, dict) for entry in annotations[:100]):
        return None
    for key, says in _ANNOTATION_KEYS.items():
        if key in annotations[0]:
            return says
    has_labels = "category_id" in annotations[0]
    return _OF_WHOLE_IMAGES if has_labels and not any(map(_has_place, annotations)) else None


def _has_place(annotation: Any) -> bool:
    return not isinstance(annotation, dict) or any(key in annotation for key in _PLACES)


def _is_yolo(line: str) -> bool:
    """Whether a line is a class and a box, or a polygon, as shares of the image."""
    first, *numbers = line.split() or [""]
    if not first.isdecimal() or len(numbers) < 4:
        return False
    try:
        return all(-0.01 < float(number) < 1.01 for number in numbers)
    except ValueError:
        return False


def _first_files(folder: str | os.PathLike) -> Iterator[str]:
    """Paths of files that may hold annotations, in order, without those that are hidden."""
    count = 0
    for where, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if name in _NAMES or name.lower().endswith(_ENDINGS) and not name.startswith("."):
                yield os.path.join(where, name)
                count += 1
        if count > _MOST_FILES:
            return


def _file_says(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8-sig") as file:
            text = file.read()
    except (OSError, ValueError):
        return None
    if not path.lower().endswith(".json"):
        return text_format(text) if text.strip() else None
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None
    is_coco = isinstance(content, dict) and {"images", "annotations", "categories"} <= set(content)
    return json_format(content) or ("is in COCO format: give it by --dataset" if is_coco else None)

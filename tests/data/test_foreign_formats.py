"""Annotation formats that are not ours are named, with the way on, at every door for a file."""

import gzip
import json
import re
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from eql_d2 import InputError
from eql_d2.data import register_class_folder, register_json_instances, register_mask_folder
from eql_d2.data.datasets.image_lists import load_image_list
from eql_d2.data.datasets.json_instances import read_json_instances
from eql_d2.data.validation.limits import Limits
from eql_d2.data.validation.validate import validate_class_folder, validate_json
from eql_d2.data.validation.write import write_repaired
from eql_d2.files import read_ground_truth_json
from tests.conftest import make_annotations
from tests.data.class_images import make_class_folders
from tests.data.label_map_folders import CLASSES, make_mask_folder

pytestmark = pytest.mark.usefixtures("no_datasets_left")

PAGE, EXPORT = "the page 'From your tool'", "export COCO"
GLOBOX, DATUMARO = "globox converts it to COCO", "Datumaro converts it to COCO"
LABELS = {
    "images": [{"id": 0, "file_name": "a.jpg", "width": 8, "height": 8}],
    "annotations": [{"id": 0, "image_id": 0, "category_id": 0}],
    "categories": [{"id": 0, "name": "Aves"}],
}
PANOPTIC = {"image_id": 1, "file_name": "a.png", "segments_info": []}
RESULT = {"image_id": 1, "category_id": 1, "bbox": [0, 0, 4, 4]}
# What a file holds, and what its line says: the format, and the way
TEXTS = {
    "YOLO": ("0 0.5 0.5 0.25 0.25\n3 0.1 0.2 0.3 0.4\n", "is YOLO's", DATUMARO),
    "YOLO polygons": ("0 0.5 0.5 0.25 0.25 0.1 0.3", "is YOLO's", DATUMARO),
    "data.yaml": ("train: ../train\nnames: [a, b]\n", "describes data in YOLO's format", DATUMARO),
    "VOC": ("<annotation>\n<folder/></annotation>", "is Pascal VOC's XML", GLOBOX),
    "CVAT": ('<?xml version="1.0"?>\n<annotations></annotations>', "CVAT's XML", "COCO 1.0"),
    "other XML": ("<dataset></dataset>", "is XML", EXPORT),
    "web page": ("<!DOCTYPE html>\n<html>", "is a web page", "download the file"),
    "LFS": ("version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS", "git lfs pull"),
    "CSV": ("filename,width,height,class,xmin\na.jpg,1,1,a,0\n", "is a CSV table", PAGE),
    "VIA's CSV": ("filename,region_count,region_shape_attributes\n", "CSV table of VIA", "COCO"),
    "Open Images": ("ImageID,Source,LabelName\n", "Open Images", "eql_d2.data.datasets.open_im"),
    "JSON lines": ('{"image": "a.jpg"}\n{"image": "b.jpg"}\n', "is JSON lines", EXPORT),
    "nothing": ("", "is empty", "copy it again"),
}
CONTENTS = {
    "labelme": ({"shapes": [], "imagePath": "a.jpg"}, "is labelme's", "labelme2coco.py converts"),
    "VIA": ({"a.jpg1": {"filename": "a.jpg", "regions": []}}, "is VIA's", "COCO format"),
    "VIA's project": ({"_via_img_metadata": {}}, "is a project of VIA's", "COCO format"),
    "panoptic": ({**LABELS, "annotations": [PANOPTIC]}, "panoptic COCO", "instances_"),
    "captions": ({**LABELS, "annotations": [{"caption": "a"}]}, "COCO's captions", "instances_"),
    "iNaturalist": (LABELS, "has labels of whole images", "class folders or a list"),
    "results": ([{**RESULT, "score": 0.5}], "is a list of results", "the file of the annotations"),
    "annotations": ([RESULT], "is a list of annotations alone", "'images'"),
    "Label Studio": ([{"data": {}, "annotations": []}], "is Label Studio's JSON", EXPORT),
    "JSON-MIN": ([{"image": "a", "annotator": 1}], "is Label Studio's JSON-MIN", EXPORT),
    "CreateML": ([{"image": "a", "annotations": []}], "is CreateML's", EXPORT),
    "BDD100K": ([{"name": "a", "labels": []}], "is BDD100K's", "to_coco"),
    "Datumaro": ({"items": [], "categories": {}}, "is Datumaro's own", DATUMARO),
    "Supervisely": ({"objects": [], "size": {}}, "is Supervisely's", EXPORT),
    "FiftyOne": ({"samples": []}, "is FiftyOne's own", "COCODetectionDataset"),
}
FORMATS = TEXTS | {name: (json.dumps(c), *says) for name, (c, *says) in CONTENTS.items()}
JSON_DOORS = [
    lambda path: register_json_instances("own", path, ""),
    lambda path: read_json_instances(path, path, "", Limits()),
    lambda path: write_repaired(path, f"{path}.fixed", "", Limits()),
    lambda path: read_ground_truth_json(path),
    lambda path: raise_first(validate_json(path, "")),
]


def raise_first(findings):
    assert len(findings.errors) == 1 and findings.errors[0].count == 1
    findings.raise_error()


def check_line(use, *says):
    with pytest.raises(InputError) as error:
        use()
    (line,) = str(error.value).splitlines()
    assert all(part in line for part in says), line
    return line


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_of_another_format_is_named_with_the_way(tmp_path, name):
    text, *says = FORMATS[name]
    path = tmp_path / "train.json"
    path.write_text(text, encoding="utf-8-sig")
    for door in JSON_DOORS:
        check_line(lambda door=door: door(str(path)), "train.json", *says)


def packed(path, name):
    text = json.dumps(make_annotations(path.parent))
    if name == "gzip":
        path.write_bytes(gzip.compress(text.encode()))
    elif name == "zip":
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("train.json", text)
    elif name == "image":
        Image.new("L", (4, 4)).save(path, "PNG")
    elif name == "folder":
        path.mkdir()
        (path / "_annotations.coco.json").write_text(text)
    else:
        path.write_bytes(text.encode(name))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("gzip", ("is compressed by gzip", "gunzip")),
        ("zip", ("is a zip archive", "unzip")),
        ("image", ("is an image",)),
        ("utf-16", ("is UTF-16", "iconv -f UTF-16 -t UTF-8")),
        ("utf-16-le", ("is UTF-16", "iconv")),
        ("utf-16-be", ("is UTF-16", "iconv")),
        ("folder", ("is a folder, not a file", "'_annotations.coco.json', which is in COCO")),
    ],
)
def test_a_file_that_is_no_text_is_named_at_every_door(tmp_path, name, says):
    path = str(tmp_path / "train.json")
    packed(Path(path), name)
    images, masks, _ = make_mask_folder(tmp_path / "scenes", num_images=1)
    doors = [
        *JSON_DOORS,
        lambda path: load_image_list(path, "", 2),
        lambda path: register_mask_folder("own", images, masks, path),
    ]
    for door in doors:
        check_line(lambda door=door: door(path), "train.json", *says)


def test_a_byte_order_mark_is_no_part_of_the_data(tmp_path):
    """Of Windows' Notepad and Excel: in a list it was part of the first path or class."""
    make = make_annotations(tmp_path)
    (tmp_path / "a.json").write_text(json.dumps(make), encoding="utf-8-sig")
    classes, records = read_json_instances("own", str(tmp_path / "a.json"), str(tmp_path))
    assert len(classes) == 5 and len(records) == 8
    assert read_ground_truth_json(tmp_path / "a.json") == make
    (tmp_path / "list.txt").write_text("a.png 1\n", encoding="utf-8-sig")
    (record,) = load_image_list(str(tmp_path / "list.txt"), "root", 2)
    assert record["file_name"] == "root/a.png"
    *folders, class_file = make_mask_folder(tmp_path / "scenes", num_images=2)
    Path(class_file).write_text("\n".join(CLASSES), encoding="utf-8-sig")
    register_mask_folder("own", *folders, class_file)


@pytest.mark.parametrize("name", ["data.yaml", "VOC", "CSV", "labelme", "results"])
def test_a_class_file_of_another_format_is_named(tmp_path, name):
    text, says, _ = FORMATS[name]
    *folders, class_file = make_mask_folder(tmp_path, num_images=1)
    Path(class_file).write_text(text)
    line = check_line(lambda: register_mask_folder("own", *folders, class_file), says)
    assert line.endswith("write one class name a line")


@pytest.mark.parametrize("name", ["YOLO", "VOC", "labelme", "VIA's CSV"])
def test_a_folder_of_another_format_is_named_where_class_folders_are_asked(tmp_path, name):
    text, says, _ = FORMATS[name]
    ending = {"VOC": "xml", "labelme": "json", "VIA's CSV": "csv"}.get(name, "txt")
    make_class_folders(tmp_path, [2])
    (tmp_path / "class0").rename(tmp_path / "images")
    (tmp_path / "labels").mkdir()
    (tmp_path / f"labels/a.{ending}").write_text(text)
    for root in (tmp_path, tmp_path / "labels"):
        for door in (
            lambda root=root: register_class_folder("own", str(root)),
            lambda root=root: validate_class_folder(str(root)).raise_error(),
        ):
            check_line(door, f"a.{ending}', which is", says)
    (tmp_path / "x.txt").write_text("name")
    for door in (register_class_folder, lambda _, path: register_mask_folder("own", *[path] * 3)):
        check_line(lambda door=door: door("own", f"{tmp_path}/x.txt"), "is a file, not a folder")


def test_what_is_ours_is_not_taken_for_another_format(tmp_path):
    """Names with commas, as ImageNet's, a path with spaces, annotations with masks alone."""
    (tmp_path / "list.txt").write_text("a b, class.png 1\n0 0 0 1 1\n")
    assert len(load_image_list(str(tmp_path / "list.txt"), "", 2)) == 2
    images, masks, class_file = make_mask_folder(tmp_path, num_images=2)
    Path(class_file).write_text("tench, Tinca tinca\ngoldfish\n0\n[unknown]\n<other>x\n")
    register_mask_folder("own", images, masks, class_file)
    content = make_annotations(tmp_path)
    for annotation in content["annotations"]:
        del annotation["bbox"]
    (tmp_path / "a.json").write_text(json.dumps(content))
    assert not any(
        re.search("format|whole images", error.kind)
        for error in validate_json(str(tmp_path / "a.json"), str(tmp_path)).errors
    )

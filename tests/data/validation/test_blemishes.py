"""What tools get slightly wrong in COCO files is taken as Detectron2 takes it, said, and mended."""

import json
import logging
import sys

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from eql_d2 import InputError
from eql_d2.data import register_json_instances
from eql_d2.data.__main__ import main
from eql_d2.data.validation.validate import validate_json
from tests.conftest import NUM_CLASSES, make_annotations

from .damage import DELETE, all_of, broken

pytestmark = pytest.mark.usefixtures("no_datasets_left")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("blemishes") / "pictures"
    folder.mkdir()
    return folder, json.dumps(make_annotations(folder, federated=False))


def write(files, change):
    folder, text = files
    data = json.loads(text)
    for annotation in data["annotations"]:
        annotation["iscrowd"] = 0
    change(data)
    (folder / "data.json").write_text(json.dumps(data))
    return str(folder / "data.json"), str(folder)


def mend(monkeypatch, files, path):
    """Content of the file that ``validate --write`` makes, and its exit code."""
    folder, _ = files
    fixed = folder / "fixed.json"
    words = ["validate", "validate", "--dataset", path, str(folder), "--write", str(fixed)]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as end:
        main()
    return json.loads(fixed.read_text()), end.value.code


def wrap_none(data):
    for annotation in data["annotations"]:
        (annotation["segmentation"],) = annotation["segmentation"]


def as_points(data):
    for annotation in data["annotations"]:
        (xy,) = annotation["segmentation"]
        annotation["segmentation"] = [[xy[i : i + 2] for i in range(0, len(xy), 2)]]


def name_images(data):
    for entry, key in [(i, "id") for i in data["images"]] + [
        (a, "image_id") for a in data["annotations"]
    ]:
        entry[key] = f"{entry[key]}.png"


def first_box(*box):
    return broken("annotations", 0, bbox=list(box))


def beside(polygon):
    return lambda data: data["annotations"][0]["segmentation"].append(polygon)


# change; the kind of the warning; boxes that training gets of 17
TAKEN = {
    "doubled ids": (all_of("annotations", id=7), "annotations with the same id", 17),
    "a little outside": (first_box(-1.3, 2, 20, 20), "boxes a little outside", 17),
    "no height": (first_box(5, 5, 20, 0), "boxes of zero area", 16),
    "no height inside": (first_box(-3, 5, 2, 9), "boxes of zero area", 16),
    "two points": (broken("annotations", 0, segmentation=[[1, 1, 9, 9]]), "a usable polygon", 16),
    "two points of all": (all_of("annotations", segmentation=[[1, 1, 9, 9]]), "less than 3", 17),
    "two points beside": (beside([1, 1, 9, 9]), "less than 3 points", 17),
    "an empty polygon": (all_of("annotations", segmentation=[[]]), "less than 3 points", 17),
    "an odd count": (beside([1] * 7), "odd count", 17),
}


@pytest.mark.parametrize("change, kind, num_boxes", TAKEN.values(), ids=TAKEN)
def test_what_detectron2_takes_is_a_warning_that_counts(
    files, change, kind, num_boxes, monkeypatch, caplog
):
    path, folder = write(files, change)
    findings = validate_json(path, folder)
    assert not findings.errors, findings.format()
    (warning,) = findings.warnings
    assert kind in warning.kind
    with caplog.at_level(logging.WARNING):
        register_json_instances("own", path, folder)
    assert caplog.text.count("data set 'own': ") == 1 and warning.line in caplog.text
    records = DatasetCatalog.get("own")
    assert sum(len(record["annotations"]) for record in records) == num_boxes
    counts = MetadataCatalog.get("own").class_image_count
    assert sum(count["instance_count"] for count in counts) == num_boxes
    data, code = mend(monkeypatch, files, path)
    assert code == 0
    (files[0] / "again.json").write_text(json.dumps(data))
    assert not validate_json(str(files[0] / "again.json"), folder).warnings


# change; what the error says; what the mended file has
MENDED = {
    "flat polygons": (wrap_none, "not in a list of their own", "put into a list of polygons"),
    "ids as words": (broken("annotations", 3, id="x4"), "whose id is no integer", "numbered anew"),
    "absent ids": (all_of("annotations", id=DELETE), "whose id is no integer", "numbered anew"),
    "points": (as_points, "not in a list of their own", "17 masks put into a list of polygons"),
    "names as ids": (name_images, "whose id is no integer", "8 ids of images given as text"),
    "absent sizes": (all_of("images", width=DELETE, height=None), "without a size", "8 sizes of"),
    "absent boxes": (all_of("annotations", bbox=DELETE), "not four numbers", "17 boxes taken"),
}


@pytest.mark.parametrize("change, kind, done", MENDED.values(), ids=MENDED)
def test_what_has_one_remedy_is_mended_by_write(files, change, kind, done, monkeypatch, capsys):
    path, folder = write(files, change)
    assert any(kind in error.kind for error in validate_json(path, folder).errors)
    data, code = mend(monkeypatch, files, path)
    assert code == 0 and done in capsys.readouterr().out
    correct = json.loads(files[1])
    for key in ("images", "annotations"):
        for ours, expected in zip(data[key], correct[key], strict=True):
            assert {key: value for key, value in ours.items() if key in expected} == expected


def test_what_is_outside_is_clipped_by_write_and_what_is_empty_gets_the_box_of_its_mask(
    files, monkeypatch, capsys
):
    def change(data):
        for annotation, box in zip(data["annotations"], ([-9, 2, 20, 20], [5, 5, 20, 0], None)):
            annotation["bbox"] = box
        run_lengths = {"size": [64, 80], "counts": [64 * 10 + 5, 7, 64 * 70 - 12]}
        data["annotations"][2]["segmentation"] = run_lengths

    data, code = mend(monkeypatch, files, write(files, change)[0])
    out = capsys.readouterr().out
    assert code == 0 and "1 boxes clipped" in out and "2 boxes taken from masks" in out
    expected = [[0, 2, 11, 20], json.loads(files[1])["annotations"][1]["bbox"], [10, 5, 1, 7]]
    assert [annotation["bbox"] for annotation in data["annotations"][:3]] == expected


def test_backslashes_are_turned_and_empty_urls_removed_by_write(files, monkeypatch, capsys):
    change = all_of("images", file_name=f"..\\{files[0].name}\\1.png", coco_url="")
    data, code = mend(monkeypatch, files, write(files, change)[0])
    out = capsys.readouterr().out
    assert code == 0 and "8 file names with" in out and "8 unusable urls removed" in out
    assert data["images"][0]["file_name"] == f"../{files[0].name}/1.png"
    assert "coco_url" not in data["images"][0]


def as_shares(data):
    for annotation in data["annotations"]:
        x, y, width, height = annotation["bbox"]
        annotation["bbox"] = [x / 80, y / 64, width / 80, height / 64]


def shift(by):
    def change(data):
        for annotation in data["annotations"]:
            annotation["category_id"] = annotation["category_id"] // 10 + by
        for k, category in enumerate(data["categories"]):
            category["id"] = k + 1

    return change


@pytest.mark.parametrize(
    "change, message",
    [
        (as_shares, "all boxes are 0 to 1: give pixels"),
        (first_box(40, 30, 75, 60), "outside of its image.*the format is .x, y, width, height"),
        (first_box(5, 5, -5, 9), "of negative size"),
        (shift(-1), "count from 0, the categories from 1: .* are 1 more"),
        (shift(+1), "count from 2, the categories from 1: .* are 1 less"),
    ],
)
def test_numbers_in_another_convention_are_refused_by_name(files, change, message):
    with pytest.raises(InputError, match=message):
        register_json_instances("own", *write(files, change))


def with_root(name, supercategory="none"):
    def change(data):
        for category in data["categories"]:
            category["supercategory"] = name
        root = {"id": 0, "name": name, "supercategory": supercategory}
        data["categories"].insert(0, root)

    return change


@pytest.mark.parametrize("name", ["my-project", "class2"])
def test_the_root_category_of_an_export_is_no_class(files, name, caplog):
    path, folder = write(files, with_root(name))
    register_json_instances("own", path, folder)
    assert MetadataCatalog.get("own").thing_classes == [f"class{k}" for k in range(NUM_CLASSES)]
    assert "is the supercategory of all others and has no annotation: it is no class" in caplog.text


def used_root(data):
    with_root("top")(data)
    data["annotations"][0]["category_id"] = 0


@pytest.mark.parametrize("change", [used_root, with_root("top", "top"), all_of("categories", x=1)])
def test_a_category_that_may_be_a_class_is_none(files, change):
    path, folder = write(files, change)
    register_json_instances("own", path, folder)
    data = json.loads((files[0] / "data.json").read_text())
    assert len(MetadataCatalog.get("own").thing_classes) == len(data["categories"])

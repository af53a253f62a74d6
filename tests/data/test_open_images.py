import json
import subprocess
import sys

import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog, get_detection_dataset_dicts
from PIL import Image

from eql_d2 import EQLv2, InputError
from eql_d2.data import category_table, class_names, get_class_count
from eql_d2.data.datasets import register_open_images
from eql_d2.data.datasets.builtin import register_builtin_open_images
from eql_d2.data.datasets.open_images import convert_open_images
from eql_d2.data.datasets.open_images.classes import read_categories
from eql_d2.tasks import check_data_sets
from tests.data.counts import image_count

pytestmark = pytest.mark.usefixtures("no_datasets_left")

# Columns as in the official file, with some that are not needed; images not in one piece.
BOXES = """\
ImageID,LabelName,XMin,XMax,YMin,YMax,IsGroupOf,Source
b2,/m/ball,0,0.5,0.25,1,0,xclick
a1,/m/foot,0.1,0.3,0.2,0.6,0,xclick
a1,/m/foot,0.5,0.9,0,0.5,0,xclick
b2,/m/foot,0.2,0.4,0.2,0.4,1,xclick
a1,/m/cat,0.3,0.3,0.2,0.6,0,xclick
"""
CLASSES = '/m/cat,Cat\n/m/foot,"Ball, foot"\n/m/ball,Ball\n/m/toy,Toy\n'
LABELS = """\
ImageID,Source,LabelName,Confidence
a1,verification,/m/foot,1
a1,verification,/m/cat,0
c3,verification,/m/ball,0
a1,verification,/m/toy,0
"""
HIERARCHY = {
    "LabelName": "/m/0bl9f",  # the root is not a class
    "Subcategory": [
        {"LabelName": "/m/cat", "Part": [{"LabelName": "/m/foot"}]},
        {
            "LabelName": "/m/toy",
            "Subcategory": [{"LabelName": "/m/ball", "Subcategory": [{"LabelName": "/m/foot"}]}],
        },
    ],
}
SIZES = {"a1": (100, 50), "b2": (40, 80), "c3": (10, 10)}


@pytest.fixture
def files(tmp_path):
    """Folder of the csv files and of the images."""
    (tmp_path / "boxes.csv").write_text(BOXES)
    (tmp_path / "classes.csv").write_text(CLASSES)
    (tmp_path / "labels.csv").write_text(LABELS)
    (tmp_path / "hierarchy.json").write_text(json.dumps(HIERARCHY))
    (tmp_path / "images").mkdir()
    for name, size in SIZES.items():
        Image.new("RGB", size).save(tmp_path / "images" / f"{name}.jpg")
    return tmp_path


def convert(files, *, full=True):
    optional = {
        "hierarchy_json": files / "hierarchy.json",
        "image_labels_csv": files / "labels.csv",
    }
    output = files / "output.json"
    arguments = (files / "boxes.csv", files / "classes.csv", files / "images", output)
    done = convert_open_images(*arguments, **(optional if full else {}))
    return done, json.loads(output.read_text())


def test_conversion_by_hand(files):
    done, data = convert(files)
    assert done == (3, 4, 1)
    assert [(c["id"], c["name"], c["freebase_id"]) for c in data["categories"]] == [
        (1, "Cat", "/m/cat"),
        (2, "Ball, foot", "/m/foot"),
        (3, "Ball", "/m/ball"),
        (4, "Toy", "/m/toy"),
    ]
    # the group-of box does not count, neither does the one without area
    assert [c["image_count"] for c in data["categories"]] == [0, 1, 1, 0]
    assert [c["instance_count"] for c in data["categories"]] == [0, 2, 1, 0]
    assert data["hierarchy"] == {"3": [2], "4": [3]}
    assert data["images"] == [
        {
            "id": 1,
            "file_name": "b2.jpg",
            "width": 40,
            "height": 80,
            "pos_category_ids": [],
            "neg_category_ids": [],
        },
        {
            "id": 2,
            "file_name": "a1.jpg",
            "width": 100,
            "height": 50,
            "pos_category_ids": [2],
            "neg_category_ids": [1, 4],
        },
        {
            "id": 3,
            "file_name": "c3.jpg",
            "width": 10,
            "height": 10,
            "pos_category_ids": [],
            "neg_category_ids": [3],
        },
    ]
    boxes = [(a["image_id"], a["category_id"], a["bbox"], a["area"]) for a in data["annotations"]]
    assert boxes == [
        (1, 3, [0, 20, 20, 60], 1200),
        (2, 2, [10, 10, 20, 20], 400),
        (2, 2, [50, 0, 40, 25], 1000),
        (1, 2, [8, 16, 8, 16], 128),
    ]
    assert [a["id"] for a in data["annotations"]] == [1, 2, 3, 4]
    assert [a["iscrowd"] for a in data["annotations"]] == [0, 0, 0, 1]
    assert [a["is_group_of"] for a in data["annotations"]] == [0, 0, 0, 1]


def test_hierarchy_and_labels_are_optional(files):
    _, data = convert(files, full=False)
    assert data.keys() == {"categories", "images", "annotations"}
    assert [set(image) for image in data["images"]] == [{"id", "file_name", "width", "height"}] * 2


def test_size_is_that_of_the_image_as_it_is_loaded(files):
    """Detectron2 turns an image by its EXIF orientation, and then compares the sizes."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", SIZES["a1"]).save(files / "images" / "a1.jpg", exif=exif)
    _, data = convert(files)
    assert (data["images"][1]["width"], data["images"][1]["height"]) == (50, 100)


@pytest.mark.parametrize(
    "file, old, new, message",
    [
        ("boxes.csv", "XMax", "Xmax", "no column 'XMax'"),
        ("boxes.csv", "0.1,0.3", "0.1,1.01", r"line 3 has XMin.* 0.1, 1.01.*\[0, 1\]"),
        ("boxes.csv", "0.1,0.3", "0.3,0.1", "line 3 .*must rise"),
        ("boxes.csv", "0.1,0.3", "nan,0.3", "line 3 .*nan"),
        ("boxes.csv", "0.1,0.3", ",0.3", "line 3 has XMin"),
        ("boxes.csv", "0.3,0.2,0.6,0,xclick", "0.3", "line 3 has 4 of 8 columns"),
        ("boxes.csv", "a1,/m/cat", "a1,/m/dog", "line 6 .*'/m/dog'.* 4 classes"),
        ("boxes.csv", "a1,/m/cat", "d4,/m/cat", "d4.jpg' does not exist"),
        ("labels.csv", "c3", "d4", "d4.jpg' does not exist"),
        ("labels.csv", "toy,0", "toy,0.7", "line 5 has Confidence '0.7'"),
        ("labels.csv", "/m/toy", "/m/dog", "line 5 .*'/m/dog'"),
        ("labels.csv", "Confidence", "Trust", "no column 'Confidence'"),
        ("classes.csv", "/m/toy,Toy", "/m/cat,Toy", "line 4 .*another class"),
        ("classes.csv", CLASSES, "", "is empty"),
        ("hierarchy.json", "}]}", "}]", "not valid JSON"),
        ("hierarchy.json", "/m/", "/n/", "none of the 4 classes"),
    ],
)
def test_bad_input_is_told_in_one_line_and_leaves_the_old_output(files, file, old, new, message):
    (files / "output.json").write_text("old")
    text = (files / file).read_text()
    assert old in text
    (files / file).write_text(text.replace(old, new))
    with pytest.raises(InputError, match=message) as error:
        convert(files)
    assert "\n" not in str(error.value)
    assert (files / "output.json").read_text() == "old"
    assert sorted(path.name for path in files.iterdir()) == sorted(
        ["boxes.csv", "classes.csv", "hierarchy.json", "images", "labels.csv", "output.json"]
    )


@pytest.mark.parametrize("file", ["boxes.csv", "classes.csv", "labels.csv", "hierarchy.json"])
def test_missing_files_are_named(files, file):
    (files / file).unlink()
    with pytest.raises(InputError, match=f"cannot read .*{file}"):
        convert(files)


def test_image_that_is_none_is_named(files):
    (files / "images" / "a1.jpg").write_text("no image")
    with pytest.raises(InputError, match="a1.jpg' cannot be used"):
        convert(files)


@pytest.mark.parametrize("image_id", ["../secret", "/etc/secret", "a/../../secret"])
def test_an_image_outside_of_the_folder_is_refused(files, image_id):
    Image.new("RGB", (8, 8)).save(files / "secret.jpg")
    path = files / "boxes.csv"
    path.write_text(path.read_text().replace("a1,", f"{image_id},", 1))
    with pytest.raises(InputError, match=f"ImageID '{image_id}' leads out of the folder"):
        convert(files)
    assert not (files / "output.json").exists()


@pytest.mark.slow
def test_command_line(files):
    command = [sys.executable, "-m", "eql_d2.data.datasets.open_images"]
    names = ["boxes.csv", "classes.csv", "images", "output.json"]
    command += [str(files / name) for name in names] + ["--hierarchy"]
    done = subprocess.run([*command, files / "hierarchy.json"], capture_output=True, text=True)
    assert "2 images, 4 boxes; 1 boxes without area" in done.stdout, done.stderr
    assert "RuntimeWarning" not in done.stderr  # a module must not be imported twice
    assert "hierarchy" in json.loads((files / "output.json").read_text())
    failed = subprocess.run([*command, files / "none.json"], capture_output=True, text=True)
    assert failed.returncode == 1
    assert failed.stderr.splitlines()[-1].startswith("error: cannot read")


def test_counts_are_read_from_the_first_line_only(files):
    convert(files)
    with open(files / "output.json") as file:
        first = file.readline()
    (files / "cut.json").write_text(first + "14 million boxes")
    found = read_categories(files / "cut.json")
    assert [category["name"] for category in found] == ["Cat", "Ball, foot", "Ball", "Toy"]
    assert [category["image_count"] for category in found] == [0, 1, 1, 0]
    assert [category["instance_count"] for category in found] == [0, 2, 1, 0]
    (files / "coco.json").write_text('{"categories": [{"id": 1}]}')
    with pytest.raises(InputError, match="categories that have instance_count"):
        read_categories(files / "coco.json")


def test_registered_data_train_without_group_of_boxes(files):
    convert(files)
    register_open_images("own", str(files / "output.json"), str(files / "images"))
    metadata = MetadataCatalog.get("own")
    assert metadata.evaluator_type == "open_images"
    assert metadata.thing_classes == ["Cat", "Ball, foot", "Ball", "Toy"]
    assert image_count("own").tolist() == [0, 1, 1, 0]
    records = DatasetCatalog.get("own")
    assert [record["image_id"] for record in records] == [1, 2, 3]
    assert [a["iscrowd"] for a in records[0]["annotations"]] == [0, 1]


def test_builtin_names_read_nothing_before_they_are_used(files, monkeypatch):
    names = ["openimages_challenge_2019_train", "openimages_challenge_2019_val"]
    kept = {name: DatasetCatalog.pop(name) for name in names}
    metadata = {name: MetadataCatalog.pop(name) for name in names}
    try:
        register_builtin_open_images(str(files / "datasets"))
        assert MetadataCatalog.get(names[0]).evaluator_type == "open_images"
        assert MetadataCatalog.get(names[0]).get("thing_classes") is None
        with pytest.raises(InputError, match="challenge_2019_train.json' does not exist"):
            DatasetCatalog.get(names[0])

        convert(files)
        (files / "datasets/openimages/annotations").mkdir(parents=True)
        (files / "output.json").rename(
            files / "datasets/openimages/annotations/challenge_2019_train.json"
        )
        (files / "images").rename(files / "datasets/openimages/train")
        # b: before it is loaded, the first line tells classes, counts and groups
        assert class_names(names[0]) == ["Cat", "Ball, foot", "Ball", "Toy"]
        table = category_table(names[0])
        assert MetadataCatalog.get(names[0]).get("thing_classes") is None
        assert table.counts.instance_count.tolist() == [0, 2, 1, 0]
        assert get_class_count(names[0]).tolist() == [0, 2, 1, 0]  # what InstanceCountEQL goes by
        assert table.groups.groups == ["0", "2", "1", "0"]
        model = torch.nn.ModuleDict({"loss": EQLv2(3)})
        with pytest.raises(InputError, match=f"3 classes but data set '{names[0]}' has 4"):
            check_data_sets(model, names[:1], [])
        records = get_detection_dataset_dicts(names[0])  # as a loader for training does
        assert [record["image_id"] for record in records] == [1, 2]
        assert image_count(names[0]).tolist() == [0, 1, 1, 0]
        assert MetadataCatalog.get(names[0]).thing_classes == ["Cat", "Ball, foot", "Ball", "Toy"]
    finally:
        for name in names:
            DatasetCatalog.pop(name, None)
            MetadataCatalog.pop(name, None)
        DatasetCatalog.update(kept)
        MetadataCatalog.update(metadata)

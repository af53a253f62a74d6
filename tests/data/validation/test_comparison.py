"""What ``validate`` says of training and test data side by side."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from eql_d2.engine import get_parser
from eql_d2.engine.arguments import own_data_of
from eql_d2.study.data import checked_options
from tests.data.class_images import make_class_folders, make_image_list
from tests.data.label_map_folders import make_mask_folder

from .test_command import run


@pytest.fixture
def write(tmp_path):
    """Writes a COCO file with an image for each of some classes, and returns what names it."""

    def write(name, classes, listed=None):
        folder = tmp_path / f"{name} images"
        folder.mkdir()
        listed = classes if listed is None else listed
        images, annotations = [], []
        for i, class_name in enumerate(classes):
            seed = [ord(letter) for letter in f"{name}{i}"]
            pixels = np.random.default_rng(seed).integers(0, 255, (8, 8, 3), np.uint8)
            Image.fromarray(pixels).save(folder / f"{name}{i}.bmp")
            images.append({"id": i, "file_name": f"{name}{i}.bmp", "width": 8, "height": 8})
            box = {"id": i, "image_id": i, "bbox": [1, 1, 4, 4], "area": 16, "iscrowd": 0}
            annotations.append(box | {"category_id": listed.index(class_name)})
        categories = [{"id": k, "name": class_name} for k, class_name in enumerate(listed)]
        content = {"images": images, "annotations": annotations, "categories": categories}
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(content))
        return ["--dataset", str(path), str(folder)]

    return write


def said(capsys):
    """Lines about the comparison."""
    lines = capsys.readouterr().out.splitlines()
    first = [i for i, line in enumerate(lines) if "compared with" in line]
    return lines[first[0] :] if first else []


def test_all_differences_of_the_classes_are_named_with_their_counts(write, monkeypatch, capsys):
    training = write("train", [*"abcdefg", "Traffic Light"])
    test = write("val", [*"gfab", "traffic_light", *"xyz", "y"], [*"gfab", "traffic_light", *"xyz"])
    assert run(monkeypatch, *training, *test) == 1
    assert [line.strip() for line in said(capsys)[1:]] == [
        "error: classes of the test data that the training data do not have (4)",
        "class 'traffic_light' (1 annotation), which the training data write 'Traffic Light'",
        "class 'x' (1 annotation)",
        "class 'y' (2 annotations)",
        "class 'z' (1 annotation)",
        "fix: a training refuses them: give test data classes of the training data only",
        "warning: classes of the training data that the test data do not have (4)",
        *(f"class '{name}' (1 annotation)" for name in ("c", "d", "e", "Traffic Light")),
        "fix: they are not evaluated: no average counts them",
    ]


def test_another_order_is_said_to_be_harmless(write, monkeypatch, capsys):
    training, same = write("train", ["a", "b", "c"]), write("same", ["a", "b", "c"])
    other = write("other", ["c", "a", "b"])
    assert run(monkeypatch, *training, *same, *other) == 0
    of_same, of_other = (
        line for line in capsys.readouterr().out.splitlines() if "compared" in line
    )
    assert of_same.endswith("train.json, the same 3 classes: no errors, no warnings")
    assert "the same 3 classes, in another order (harmless: they are told by" in of_other
    assert of_other.endswith("no errors, no warnings")


def test_images_in_both_sets_are_named(write, tmp_path, monkeypatch, capsys):
    training, test = write("train", list("abc")), write("val", list("abc"))
    for source, target in (("train0", "val1"), ("train1", "val2")):
        shutil.copy(tmp_path / f"train images/{source}.bmp", tmp_path / f"val images/{target}.bmp")
    (tmp_path / "val images/val0.bmp").rename(tmp_path / "val images/train2.bmp")
    text = (tmp_path / "val.json").read_text().replace("val0.bmp", "train2.bmp")
    (tmp_path / "val.json").write_text(text)
    assert run(monkeypatch, *training, *test) == 0
    lines = " ".join(said(capsys))
    assert "images that are in both sets (2)" in lines
    assert "val images/val1.bmp' is '" in lines and "train images/train0.bmp'" in lines
    assert "file names that are in both sets, with other bytes (1)     image 'train2.bmp'" in lines


def test_the_same_file_in_two_lists_is_named(write, monkeypatch, capsys):
    training = write("train", ["a"])
    assert run(monkeypatch, *training, *training) == 0
    lines = said(capsys)
    assert "images that are in both sets (1)" in lines[1] and lines[2].endswith("train0.bmp'")


def test_advice_for_test_data_is_another(write, monkeypatch, capsys):
    training, test = (write(name, ["a"], ["a", "b"]) for name in ("train", "val"))
    assert run(monkeypatch, *training, *test) == 0
    of_training, of_test = capsys.readouterr().out.split("val.json: ")
    assert "a class of the training data needs one to be learned" in of_training
    assert "it is not evaluated: no average counts it" in of_test.split("compared")[0]
    assert "to be learned" not in of_test


def test_data_of_all_kinds_are_compared(tmp_path, monkeypatch, capsys):
    folders = [make_class_folders(tmp_path / name, [1] * k) for name, k in (("a", 2), ("b", 3))]
    lists = [(make_image_list(tmp_path / f"l{k}", range(k)), tmp_path / f"l{k}") for k in (2, 3)]
    maps = [make_mask_folder(tmp_path / name) for name in ("m", "n")]
    words = [word for folder in folders for word in ("--class-folder", folder)]
    words += [word for k, entry in zip((2, 3), lists) for word in ("--image-list", *entry, k)]
    words += [word for entry in maps for word in ("--mask-folder", *entry)]
    assert run(monkeypatch, *words) == 1
    out = capsys.readouterr().out
    assert "class 'class2' (1 image)" in out and "class '2' (1 image)" in out
    assert out.count("compared with the training data") == 3 and "the same 5 classes" in out


def test_files_with_errors_are_not_compared(write, monkeypatch, capsys):
    training, test = write("train", ["a"]), write("val", ["b"])
    assert run(monkeypatch, *training, "--dataset", "nowhere.json", "", *test) == 1
    assert len([line for line in said(capsys) if "compared" in line]) == 1


def test_one_grammar_for_validate_train_net_and_studies(write, tmp_path, monkeypatch, capsys):
    option, json_file, images = write("train", ["a"])
    without, with_name = (option, json_file, images), (option, "my_train", json_file, images)
    for words in (without, with_name):
        assert run(monkeypatch, *words) == 0
        assert capsys.readouterr().out == f"{json_file}: no errors, no warnings\n"
    assert run(monkeypatch, "--class-folder", "my_train", "nowhere") == 1
    assert run(monkeypatch, option, "a", "b", "c", "d") == 2
    for words, name in ((without, "train"), (with_name, "my_train")):
        following = ("DATASETS.TRAIN", f"('{name}',)")
        args = get_parser().parse_args(["--resume", *words, "--eval-only", *words, *following])
        assert own_data_of(args)["JSON"] == ((name, json_file, images),) * 2
        assert args.eval_only and tuple(args.opts) == following
        assert checked_options(words) == [option, name, json_file, images]

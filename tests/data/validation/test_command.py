import json
import os
import subprocess
import sys

import pytest

from eql_d2 import InputError
from eql_d2.data.__main__ import main
from eql_d2.data.datasets.instance_masks import write_label_maps
from eql_d2.data.validation.limits import Limits
from eql_d2.data.validation.repairs import fill_absent_fields
from tests.conftest import make_annotations
from tests.data.class_images import make_class_folders, make_image_list
from tests.data.label_map_folders import make_mask_folder

from .damage import DELETE, all_of, broken, rle


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["validate", "validate", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    return end.value.code


@pytest.fixture
def write(tmp_path):
    def write(*changes):
        data = make_annotations(tmp_path)
        for change in changes:
            change(data)
        (tmp_path / "data.json").write_text(json.dumps(data))
        return "--dataset", tmp_path / "data.json", tmp_path

    return write


def test_exit_code_is_1_for_errors_and_0_for_warnings(write, monkeypatch, capsys):
    assert run(monkeypatch, *write(broken("annotations", 0, area=None))) == 0
    assert "data.json: 1 kind of warnings\n" in (out := capsys.readouterr().out)
    assert "warning: annotations without area (1)" in out
    assert run(monkeypatch, *write(broken("annotations", 0, bbox=[1, 1, -1, 1]))) == 1
    assert "error: boxes of negative size (1)" in capsys.readouterr().out
    assert run(monkeypatch, "--dataset", "nowhere.json", ".") == 1
    assert "'nowhere.json' does not exist" in capsys.readouterr().out
    assert run(monkeypatch) == 2 and run(monkeypatch, "--class-folder") == 2


def test_all_kinds_of_data_in_one_command(write, tmp_path, monkeypatch, capsys):
    folder = make_class_folders(tmp_path / "folders", [1, 1])
    list_file = make_image_list(tmp_path / "list", [0, 1])
    scenes = make_mask_folder(tmp_path / "scenes")
    arguments = [*write(), "--class-folder", folder, "--mask-folder", *scenes]
    arguments += ["--image-list", list_file, tmp_path / "list"]
    assert run(monkeypatch, *arguments, 2) == 0
    assert capsys.readouterr().out.count("no errors, no warnings") == 4
    assert run(monkeypatch, *arguments, 1) == 1
    assert run(monkeypatch, *arguments, "many") == 2


def test_repairs_lose_nothing_and_leave_the_original(write, tmp_path, monkeypatch, capsys):
    def as_text(data):
        for image in data["images"]:
            image.update(id=str(image["id"]), width=80.0)
        for annotation in data["annotations"]:
            annotation.update(id=str(annotation["id"]), image_id=f" {annotation['image_id']}")
        data["images"][5]["neg_category_ids"] = ["50"]

    correct = make_annotations(tmp_path)
    changes = [all_of("annotations", area=DELETE), broken("images", 0, neg_category_ids=DELETE)]
    changes += [broken("images", 1, not_exhaustive_category_ids=None)]
    arguments = write(as_text, *changes, broken("annotations", 0, segmentation=rle(), iscrowd="0"))
    before = (tmp_path / "data.json").read_bytes()
    assert run(monkeypatch, *arguments) == 1
    capsys.readouterr()
    assert run(monkeypatch, *arguments, "--write", tmp_path / "fixed.json") == 0
    out = capsys.readouterr().out
    assert "8 id of images made integers" in out and "17 absent area filled" in out
    assert "1 neg_category_ids of images made integers" in out
    assert "2 absent lists of category ids made empty lists" in out
    assert (tmp_path / "data.json").read_bytes() == before
    fixed = json.loads((tmp_path / "fixed.json").read_text())
    assert fixed["images"][2:] == correct["images"][2:]
    assert fixed["images"][0]["neg_category_ids"] == []
    assert fixed["annotations"][0]["area"] == 30 and fixed["annotations"][0]["iscrowd"] == 0
    for ours, theirs in zip(fixed["annotations"][1:], correct["annotations"][1:]):
        assert abs(ours.pop("area") - theirs.pop("area")) <= 1 and ours == theirs


def test_what_would_lose_something_is_not_repaired(write, tmp_path, monkeypatch, capsys):
    arguments = write(broken("images", 0, id="2"), broken("annotations", 0, area=None))
    assert run(monkeypatch, *arguments, "--write", tmp_path / "fixed.json") == 1
    fixed = json.loads((tmp_path / "fixed.json").read_text())
    assert fixed["images"][0]["id"] == "2"  # another image has 2
    assert fixed["annotations"][0]["area"] is None  # while something else is wrong


def test_the_original_is_never_written(write, tmp_path, monkeypatch, capsys):
    arguments = write()
    before = (tmp_path / "data.json").read_bytes()
    os.symlink(tmp_path / "data.json", tmp_path / "link.json")
    os.symlink(tmp_path / "data.json", tmp_path / "new.json.tmp")
    for name in ("data.json", "link.json", "new.json", "folder/none.json"):
        assert run(monkeypatch, *arguments, "--write", tmp_path / name) == 1
        assert capsys.readouterr().err.startswith("error: ")
    assert (tmp_path / "data.json").read_bytes() == before
    (tmp_path / "data.json").write_text("[]")
    assert run(monkeypatch, *arguments, "--write", tmp_path / "fixed.json") == 1
    assert not (tmp_path / "fixed.json").exists()


def test_coco_files_get_iscrowd(tmp_path):
    data = make_annotations(tmp_path, federated=False)
    data["annotations"][1]["iscrowd"] = 1
    del data["annotations"][2]["area"], data["annotations"][2]["segmentation"]
    filled = fill_absent_fields(data["annotations"], data["images"])
    assert filled == {"iscrowd": len(data["annotations"]) - 1, "area": 1}
    assert [a["iscrowd"] for a in data["annotations"][:3]] == [0, 1, 0]
    box = data["annotations"][2]["bbox"]
    assert data["annotations"][2]["area"] == box[2] * box[3]


def test_label_maps_of_instances_link_to_nothing_outside(write, tmp_path):
    _, json_file, images = write(broken("images", 0, file_name="../../../etc/passwd"))
    with pytest.raises(InputError, match="leads out of"):
        write_label_maps(str(json_file), str(images), tmp_path / "masks")
    assert not (tmp_path / "masks").exists()
    limits = Limits(allow_outside_paths=True)
    assert write_label_maps(str(json_file), str(images), tmp_path / "masks", limits) == 8


@pytest.mark.slow
def test_module_is_a_command(write):
    command = [sys.executable, "-W", "ignore", "-m", "eql_d2.data", "validate", *map(str, write())]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip().endswith("no errors, no warnings")

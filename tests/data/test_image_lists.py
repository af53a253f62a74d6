import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from eql_d2 import InputError
from eql_d2.data.datasets.image_lists import (
    load_image_list,
    register_builtin_image_lists,
    register_image_list,
)
from eql_d2.data.validation.validate import validate_image_list
from tests.data.counts import image_count

from .class_images import make_image_list

pytestmark = pytest.mark.usefixtures("no_datasets_left")

BUILTIN = ["inaturalist18_train", "inaturalist18_val", "aaai2023_train", "aaai2023_val"]
for split in ("train", "val", "test"):
    BUILTIN += [f"imagenet_lt_{split}", f"places_lt_{split}"]


def test_list_is_registered_with_counts(tmp_path):
    register_image_list("own", make_image_list(tmp_path, [2, 0, 2]), str(tmp_path), num_classes=4)
    assert image_count("own").tolist() == [1, 0, 2, 0]
    assert MetadataCatalog.get("own").thing_classes == ["0", "1", "2", "3"]
    records = DatasetCatalog.get("own")
    assert [r["annotations"] for r in records] == [[{"category_id": k}] for k in (2, 0, 2)]
    assert records[1]["file_name"] == str(tmp_path / "class0/1.png")


def test_builtin_lists_are_known_before_any_file_is_there(tmp_path, monkeypatch):
    """Their files are looked for when they are used, and then named."""
    assert set(BUILTIN) <= set(DatasetCatalog.list())
    for catalog in (DatasetCatalog, MetadataCatalog):
        monkeypatch.setattr(catalog, "data", {})
    register_builtin_image_lists(str(tmp_path))
    assert set(BUILTIN) == set(DatasetCatalog.list())
    assert len(MetadataCatalog.get("inaturalist18_train").thing_classes) == 8142
    with pytest.raises(InputError, match=r"list '.*ImageNet_LT_train.txt' does not exist"):
        DatasetCatalog.get("imagenet_lt_train")
    (tmp_path / "imagenet_lt").mkdir()
    (tmp_path / "imagenet_lt/ImageNet_LT_test.txt").write_text("val/n01440764/a.JPEG 999\n")
    (record,) = DatasetCatalog.get("imagenet_lt_test")
    assert record["file_name"] == str(tmp_path / "imagenet/val/n01440764/a.JPEG")
    assert record["annotations"] == [{"category_id": 999}]
    (tmp_path / "aaai2023").mkdir()
    (tmp_path / "aaai2023/train.txt").write_text("data/0.png 88\n")
    (record,) = DatasetCatalog.get("aaai2023_train")
    assert record["file_name"] == str(tmp_path / "aaai2023/data/0.png")


def test_path_may_have_spaces_and_blank_lines_do_not_count(tmp_path):
    (tmp_path / "list.txt").write_text("\na folder/b c.png\t1\r\n\nd.png 0")
    records = load_image_list(str(tmp_path / "list.txt"), "/root", 2)
    assert [r["file_name"] for r in records] == ["/root/a folder/b c.png", "/root/d.png"]
    assert [r["annotations"][0]["category_id"] for r in records] == [1, 0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"a.png 0\nb.png 4\n", "line 2 has label 4: labels of 4 classes are 0 to 3"),
        (b"a.png -1\n", "line 1 has label -1"),
        (b"a.png 0\n\nb.png\n", "line 3 is 'b.png': it must be"),
        (b"a.png one\n", "line 1 is 'a.png one'"),
        (b"a.png 1.0\n", "line 1 is 'a.png 1.0'"),
        (b"\n \n", "list.txt' is empty"),
        (b"a.png \xe9\n", "list.txt is no text in UTF-8 .byte 6"),
        (b"0 0.5 0.5 0.1 0.1\n", "list.txt' is YOLO's, .*: write lines .path label."),
        (b"path,label\na.png,0\n", "list.txt' is a CSV table"),
        (b'[{"a.png": 0}]', "list.txt' is JSON"),
    ],
)
def test_bad_list_gets_one_line_that_names_the_place(tmp_path, text, message):
    (tmp_path / "list.txt").write_bytes(text)
    with pytest.raises(InputError, match=message) as error:
        load_image_list(str(tmp_path / "list.txt"), str(tmp_path), 4)
    assert "\n" not in str(error.value)


def test_missing_image_of_an_own_list_is_named(tmp_path):
    list_file = make_image_list(tmp_path, [0, 1, 1])
    (tmp_path / "class0/1.png").unlink()
    with pytest.raises(InputError, match=r"1 of 3 images are missing, the first is '.*/1.png'"):
        register_image_list("own", list_file, str(tmp_path), num_classes=2)
    assert "own" not in DatasetCatalog.list()


def test_one_class_alone_and_classes_without_an_image_are_named(tmp_path, caplog):
    list_file = make_image_list(tmp_path, [1, 1])
    alone, without = validate_image_list(list_file, str(tmp_path), 3).warnings
    assert alone.examples == (f"list {list_file!r} has the label 1 alone",)
    assert without.examples == ("label 0 has no image", "label 2 has no image")
    register_image_list("own", list_file, str(tmp_path), num_classes=3)
    assert "has the label 1 alone" in caplog.text


def test_taken_name_is_refused(tmp_path):
    with pytest.raises(InputError, match="'imagenet_lt_val' is registered already"):
        register_image_list("imagenet_lt_val", "list.txt", "", num_classes=2)

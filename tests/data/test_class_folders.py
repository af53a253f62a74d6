import json

import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog, get_detection_dataset_dicts
from PIL import Image
from torchvision.datasets import ImageFolder

from eql_d2 import InputError
from eql_d2.data import adopt_training_classes
from eql_d2.data.datasets.class_folders import register_class_folder
from eql_d2.data.datasets.long_tail import LongTail, long_tail_counts
from eql_d2.data.image_files import image_endings
from eql_d2.data.validation.validate import validate_class_folder
from tests.data.counts import image_count

from .class_images import make_class_folders

pytestmark = pytest.mark.usefixtures("no_datasets_left")


def is_taken(path):
    """For torchvision's ``ImageFolder``, which knows fewer endings, and takes hidden files."""
    parts = path.split("/")
    return (
        "@eaDir" not in parts
        and not any(part.startswith(".") for part in parts)
        and ("." + path.rsplit(".", 1)[-1].lower() in image_endings())
    )


def files_of(name):
    return [record["file_name"] for record in DatasetCatalog.get(name)]


def test_classes_are_the_folders_by_name(tmp_path):
    folder = make_class_folders(tmp_path, [3, 1, 2])
    (tmp_path / ".cache").mkdir()
    (tmp_path / "class1/notes.txt").write_text("")
    (tmp_path / "class1/.hidden.png").write_bytes(b"")
    register_class_folder("own", folder)
    metadata = MetadataCatalog.get("own")
    assert metadata.thing_classes == ["class0", "class1", "class2"]
    assert metadata.evaluator_type == "classification"
    assert image_count("own").tolist() == [3, 1, 2]
    records = get_detection_dataset_dicts("own")  # with Detectron2's own filter and table
    assert [r["annotations"][0]["category_id"] for r in records] == [0, 0, 0, 1, 2, 2]
    assert [r["image_id"] for r in records] == list(range(6))
    assert records[3]["file_name"] == str(tmp_path / "class1/0.png")


def test_images_of_all_kinds_are_taken_from_all_folders_below_as_torchvision_does(tmp_path):
    folder = make_class_folders(tmp_path, [1, 1], side=4)
    other_kinds = ["a.gif", "b.jfif", "c.webp", "d.tif", "e.JPEG", "f.bmp", "below/g.png", "h.avif"]
    (tmp_path / "class0/below/further").mkdir(parents=True)
    for name in [*other_kinds, "below/further/i.ppm"]:
        kind = {".jfif": "JPEG", ".tif": "TIFF"}.get(name[-5:].lstrip("abcdefghi"), None)
        Image.new("RGB", (4, 4)).save(tmp_path / "class0" / name, kind)
    for junk in (
        "Thumbs.db",
        "desktop.ini",
        ".DS_Store",
        "._a.gif",
        ".hidden/a.png",
        "@eaDir/a.png",
    ):
        (tmp_path / "class0" / junk).parent.mkdir(exist_ok=True)
        (tmp_path / "class0" / junk).write_bytes(b"")
    register_class_folder("own", folder)
    names = [path.removeprefix(f"{folder}/class0/") for path in files_of("own")[:-1]]
    flat = sorted(["0.png", *(name for name in other_kinds if "/" not in name)])
    assert names == [*flat, "below/g.png", "below/further/i.ppm"]
    theirs = [
        path for path, label in ImageFolder(folder, is_valid_file=is_taken).samples if not label
    ]
    assert sorted(f"{folder}/class0/{name}" for name in names) == sorted(theirs)
    assert not validate_class_folder(folder).warnings


def test_links_are_followed_but_no_folder_is_read_twice(tmp_path):
    folder = make_class_folders(tmp_path / "data", [1, 1], side=4)
    make_class_folders(tmp_path / "more", [2], side=4)
    (tmp_path / "data/class0/up").symlink_to("..")
    (tmp_path / "data/class0/self").symlink_to(".")
    for name in ("more", "more_again"):
        (tmp_path / "data/class1" / name).symlink_to("../../more/class0")
    register_class_folder("own", folder)
    assert image_count("own").tolist() == [1, 3]


def test_what_is_left_out_is_said_for_each_class(tmp_path, caplog):
    folder = make_class_folders(tmp_path, [2, 1, 1], side=4)
    for name in (
        "class0/a.heic",
        "class0/below/b.HEIC",
        "class0/noending",
        "class2/a.mp4",
        "0.png",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    left_out, beside = validate_class_folder(folder).warnings
    assert left_out.examples == (
        "class 'class0': 3 of 5 files are left out (.heic 2, no ending 1)",
        "class 'class2': 1 of 2 files are left out (.mp4 1)",
    )
    assert beside.examples == (f"folder {folder!r} has '0.png' beside the class folders",)
    register_class_folder("own", folder)
    assert len(DatasetCatalog.get("own")) == 4
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 2 and all(line.startswith("data set 'own': ") for line in lines)
    assert "(.heic 2, no ending 1), and 1 more: " in lines[0]


@pytest.mark.parametrize(
    "names", [["train", "valid", "test"], ["Train", "val"], ["images", "labels"]]
)
def test_a_detection_export_is_no_set_of_class_folders(tmp_path, names):
    for name in names:
        make_class_folders(tmp_path / "made", [1], side=4)
        (tmp_path / "made/class0").rename(tmp_path / "made" / name)
    folder = str(tmp_path / "made")
    with pytest.raises(InputError, match="no classes' names: give .* list them in classes.txt"):
        register_class_folder("own", folder)
    (tmp_path / "made" / names[0] / "_annotations.coco.json").write_text(
        json.dumps({"images": [], "annotations": [], "categories": []})
    )
    (error,) = validate_class_folder(folder).errors
    assert f"'{names[0]}/_annotations.coco.json', which is in COCO format" in error.fix
    (tmp_path / "made/classes.txt").write_text("\n".join(names))
    register_class_folder("own", folder)
    assert MetadataCatalog.get("own").thing_classes == names


def test_one_class_alone_is_named(tmp_path):
    folder = make_class_folders(tmp_path, [2], side=4)
    (warning,) = validate_class_folder(folder).warnings
    assert warning.examples == (f"folder {folder!r} has the class 'class0' alone",)


def test_long_tail_is_the_same_for_the_same_seed_and_another_for_another(tmp_path):
    folder = make_class_folders(tmp_path, [12] * 6, side=4)
    register_class_folder("whole", folder)
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        register_class_folder(name, folder, long_tail=LongTail(12, seed))
    assert files_of("a") == files_of("a") == files_of("b") != files_of("c")
    assert set(files_of("a")) < set(files_of("whole"))
    assert sorted(image_count("a").tolist()) == sorted(image_count("c").tolist())
    assert image_count("a").sum() == len(files_of("a"))


def test_long_tail_of_a_data_set_is_not_that_of_another_version():
    """A changed draw would make other people's numbers incomparable, without a word."""
    assert long_tail_counts([100] * 6, LongTail(50, 0)) == [2, 21, 46, 10, 100, 4]
    assert long_tail_counts([100] * 6, LongTail(50, 1)) == [21, 46, 4, 100, 10, 2]


def test_profile_falls_exponentially_from_the_largest_class_to_the_factor():
    counts = sorted(long_tail_counts([500] * 100, LongTail(100, 3)), reverse=True)
    assert counts[0] == 500 and counts[-1] == 5
    assert all(
        kept == pytest.approx(500 * 100 ** (-k / 99), abs=0.5) for k, kept in enumerate(counts)
    )
    assert sum(counts) == pytest.approx(500 * 99 / 100 / (1 - 100 ** (-1 / 99)), rel=0.02)


def test_no_class_keeps_more_than_it_has_nor_nothing():
    sizes = [7, 1000, 1, 30]
    for seed in range(10):
        counts = long_tail_counts(sizes, LongTail(1e6, seed))
        assert all(1 <= kept <= size for kept, size in zip(counts, sizes))
    assert long_tail_counts(sizes, LongTail(1, 0)) == sizes
    assert long_tail_counts([9], LongTail(50, 0)) == [9]


def test_images_of_a_class_do_not_depend_on_the_other_classes(tmp_path):
    for root in ("a", "b"):
        make_class_folders(tmp_path / root, [20, 20, 20], side=4)
    for i in range(12, 20):
        (tmp_path / f"b/class0/{i}.png").unlink()
    kept = {}
    for root in ("a", "b"):
        register_class_folder(root, str(tmp_path / root), long_tail=LongTail(4, 0))
        kept[root] = [f.removeprefix(str(tmp_path / root)) for f in files_of(root)]
        kept[root] = [f for f in kept[root] if "class0" not in f]
    assert kept["a"] == kept["b"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("/nowhere",), "'own': folder '/nowhere' does not exist"),
        (("{}/class0",), "class0' has no class folder"),
        (("{}", LongTail(0.5, 0)), "long-tail factor is 0.5"),
        (("{}", LongTail(float("nan"), 0)), "long-tail factor is nan"),
        (("{}", LongTail(50, -1)), "long-tail seed is -1"),
    ],
)
def test_bad_arguments_get_one_line(tmp_path, arguments, message):
    make_class_folders(tmp_path, [1, 1])
    folder, *long_tail = arguments
    with pytest.raises(InputError, match=message) as error:
        register_class_folder("own", folder.format(tmp_path), long_tail=next(iter(long_tail), None))
    assert "\n" not in str(error.value) and "own" not in DatasetCatalog.list()


def test_a_class_folder_may_be_empty_but_not_in_training_data(tmp_path):
    folder = make_class_folders(tmp_path, [1, 1])
    (tmp_path / "class0b").mkdir()
    (tmp_path / "class0b/readme.txt").write_text("soon")
    register_class_folder("own", folder)
    assert MetadataCatalog.get("own").thing_classes == ["class0", "class0b", "class1"]
    assert [r["annotations"][0]["category_id"] for r in DatasetCatalog.get("own")] == [0, 2]
    with pytest.raises(InputError, match="training data 'own': class folder 'class0b' has no im"):
        adopt_training_classes(["own"], [])


def test_classes_txt_is_the_list_of_the_classes(tmp_path):
    folder = make_class_folders(tmp_path, [1, 2])
    (tmp_path / "classes.txt").write_text("class1\nclass7\nclass0\n")
    register_class_folder("own", folder)
    assert MetadataCatalog.get("own").thing_classes == ["class1", "class7", "class0"]
    assert image_count("own").tolist() == [2, 0, 1]
    adopt_training_classes(["own"], [])  # that class7 has no image is said on purpose
    (tmp_path / "classes.txt").write_text("class1\n")
    with pytest.raises(InputError, match="class folder 'class0' is not in its classes.txt"):
        register_class_folder("other", folder)


def test_taken_name_is_refused(tmp_path):
    folder = make_class_folders(tmp_path, [1])
    register_class_folder("own", folder)
    with pytest.raises(InputError, match="'own' is registered already"):
        register_class_folder("own", folder)

import json

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from PIL import Image
from torch import nn

from eql_d2 import InputError
from eql_d2.data import SemSegMapper, category_table, register_mask_folder
from eql_d2.data.datasets.instance_masks import write_label_maps
from eql_d2.data.validation.images import NUM_SAMPLES
from eql_d2.data.validation.validate import Depth, validate_mask_folder
from eql_d2.engine.build import EQLSettings, build_hooks
from tests.data.label_map_folders import CLASSES, make_mask_folder

pytestmark = pytest.mark.usefixtures("no_datasets_left")


@pytest.fixture
def folders(tmp_path):
    return make_mask_folder(tmp_path / "scenes")


@pytest.fixture
def mapper():
    return SemSegMapper(is_train=True, augmentations=[], image_format="BGR", num_classes=5)


def one_line(error):
    assert "\n" not in str(error.value)
    return str(error.value)


def test_registers_images_with_their_label_maps(folders, mapper):
    register_mask_folder("scenes", *folders)
    records = DatasetCatalog.get("scenes")
    assert len(records) == 6 and MetadataCatalog.get("scenes").stuff_classes == CLASSES
    sample = mapper(records[0])
    expected = np.array(Image.open(records[0]["sem_seg_file_name"]))
    assert sample["image"].shape == (3, 64, 96) and (sample["height"], sample["width"]) == (64, 96)
    assert np.array_equal(sample["sem_seg"], expected) and sample["sem_seg"].max() == 255


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "masks/3.png").unlink(), "image .*3.jpg.* has no label map"),
        (lambda f: (f / "images/3.jpg").unlink(), "label map .*3.png.* has no image"),
        (lambda f: (f / "classes.txt").write_text("sky\nsky\n"), "line 2 is 'sky'"),
        (lambda f: (f / "classes.txt").write_text(""), "has 0 classes"),
        (lambda f: (f / "classes.txt").unlink(), "classes.txt' does not exist"),
        (lambda f: (f / "images").rename(f / "photos"), "does not exist"),
    ],
)
def test_what_does_not_belong_together_is_named(folders, tmp_path, damage, message):
    damage(tmp_path / "scenes")
    with pytest.raises(InputError, match=message) as error:
        register_mask_folder("scenes", *folders)
    one_line(error)
    assert "scenes" not in DatasetCatalog.list()


def test_unknown_label_is_named_by_mapper_and_count(folders, tmp_path, mapper):
    register_mask_folder("scenes", *folders)
    labels = np.zeros((64, 96), np.uint8)
    labels[0, 0] = 7
    Image.fromarray(labels).save(tmp_path / "scenes/masks/2.png")
    for use in (lambda: mapper(DatasetCatalog.get("scenes")[2]), lambda: category_table("scenes")):
        with pytest.raises(
            InputError, match=r"2.png' has label 7 but there are 5 classes"
        ) as error:
            use()
        one_line(error)


def test_palette_images_are_indices_not_grey_values(folders, tmp_path, mapper):
    register_mask_folder("scenes", *folders)
    path = tmp_path / "scenes/masks/0.png"
    labels = np.array(Image.open(path))
    image = Image.fromarray(labels, mode="P")
    image.putpalette([int(v) for v in np.random.default_rng(0).integers(0, 256, 768)])
    image.save(path)
    assert np.array_equal(mapper(DatasetCatalog.get("scenes")[0])["sem_seg"], labels)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (Image.new("RGB", (96, 64)), "mode 'RGB'"),
        (Image.new("L", (90, 64)), r"of \(90, 64\) pixels but its image of \(96, 64\)"),
    ],
)
def test_label_map_of_another_kind_or_size_is_named(folders, tmp_path, mapper, image, message):
    register_mask_folder("scenes", *folders)
    image.save(tmp_path / "scenes/masks/1.png")
    with pytest.raises(InputError, match=message) as error:
        mapper(DatasetCatalog.get("scenes")[1])
    one_line(error)


def test_damaged_files_are_named(folders, tmp_path, mapper):
    register_mask_folder("scenes", *folders)
    for path in ("images/0.jpg", "masks/1.png"):
        (tmp_path / "scenes" / path).write_bytes(b"no image")
    for index, name in ((0, "0.jpg"), (1, "1.png")):
        with pytest.raises(InputError, match=name) as error:
            mapper(DatasetCatalog.get("scenes")[index])
        one_line(error)


def test_labels_are_counted_without_the_ignored_ones(folders, tmp_path):
    register_mask_folder("scenes", *folders)
    frequency = category_table(["scenes"]).counts
    maps = [np.array(Image.open(tmp_path / f"scenes/masks/{i}.png")) for i in range(6)]
    assert frequency.pixel_count.tolist() == [sum((m == k).sum() for m in maps) for k in range(5)]
    assert frequency.image_count.tolist() == [sum((m == k).any() for m in maps) for k in range(5)]
    assert frequency.pixel_share.sum() == pytest.approx(1)
    (tmp_path / "scenes/masks/0.png").unlink()  # counted once only
    assert category_table("scenes").counts is frequency


def test_instances_are_painted_small_over_large(data, tmp_path):
    content = json.loads((data / "train.json").read_text())
    image_id = content["images"][0]["id"]
    square = [4, 4, 60, 4, 60, 60, 4, 60], [10, 10, 20, 10, 20, 20, 10, 20]
    content["annotations"] = [
        {
            "id": i,
            "image_id": image_id,
            "category_id": category,
            "bbox": [4, 4, 10, 10],
            "segmentation": [polygon],
        }
        for i, (category, polygon) in enumerate(zip((40, 10), square), start=1)
    ][::-1]
    (data / "train.json").write_text(json.dumps(content))
    count = write_label_maps(str(data / "train.json"), str(data / "train"), tmp_path / "maps")
    labels = np.array(Image.open(next((tmp_path / "maps/masks").iterdir())))
    assert count == 1 and labels[15, 15] == 0 and labels[40, 40] == 3 and labels[2, 2] == 255
    register_mask_folder(
        "painted", *(str(tmp_path / "maps" / p) for p in ("images", "masks", "classes.txt"))
    )
    with pytest.raises(InputError, match="exists"):
        write_label_maps(str(data / "train.json"), str(data / "train"), tmp_path / "maps")


def paint(folder, values, num_images=3):
    """Label maps of the given values only, and the arguments of ``register_mask_folder``."""
    arguments = make_mask_folder(folder, num_images=num_images)
    for i in range(num_images):
        labels = np.resize(np.array(values, np.uint8), (64, 96))
        Image.fromarray(labels).save(folder / f"masks/{i}.png")
    return arguments


@pytest.mark.parametrize("classes", ["crack", "background\ncrack"])
def test_a_label_map_of_0_and_255_is_named(tmp_path, classes):
    """A binary mask: class 1 would vanish into what is ignored, and mIoU be 99."""
    folders = paint(tmp_path, [0, 255], num_images=NUM_SAMPLES + 2)
    (tmp_path / "classes.txt").write_text(classes)
    findings = validate_mask_folder(*folders)
    assert [error.kind for error in findings.errors] == ["label maps that look like binary masks"]
    if "\n" in classes:
        assert "class 1 ('crack') is in no label map" in findings.format()
    with pytest.raises(InputError, match="have the values 0 and 255, .* 0 and 1 in the place") as e:
        register_mask_folder("scenes", *folders)
    one_line(e)
    # The sample alone decides nothing: the last map but one is outside of it.
    Image.new("L", (96, 64), 0 if "\n" not in classes else 1).save(tmp_path / "masks/4.png")
    assert bool(validate_mask_folder(*folders).errors) == ("\n" not in classes)


def test_label_maps_without_a_label_are_named(tmp_path):
    folders = paint(tmp_path, [255])
    (error,) = validate_mask_folder(*folders).errors
    assert error.kind == "label maps without a label"
    with pytest.raises(InputError, match="have the one value 255, which is ignored"):
        register_mask_folder("scenes", *folders)


def test_one_class_alone_is_named_and_nothing_to_train_on(tmp_path, caplog):
    folders = paint(tmp_path, [2])
    one_class, absent = validate_mask_folder(*folders).warnings
    assert one_class.examples == ("all 3 label maps have the label 2 ('house'), alone",)
    assert absent.count == 4
    register_mask_folder("scenes", *folders)  # test data may be so
    assert "label maps have the label 2 ('house'), alone" in caplog.text
    for use in (
        lambda: category_table("scenes"),
        lambda: build_hooks(nn.Identity(), EQLSettings(log_period=0), ["scenes"], ""),
    ):
        with pytest.raises(InputError, match=r"'scenes': all 3 .* show class 2 \('house'\) alone"):
            use()
    # Together with others it may be training data.
    register_mask_folder("more", *make_mask_folder(tmp_path / "more"))
    assert category_table(["scenes", "more"]).counts.image_count.all()


def test_classes_that_no_training_map_has_are_named_before_training(tmp_path, caplog):
    folders = paint(tmp_path, [0, 1, 3], num_images=NUM_SAMPLES + 2)
    (absent,) = validate_mask_folder(*folders).warnings
    assert absent.kind == "classes that are in no label map" and absent.count == 2
    assert not validate_mask_folder(*folders, Depth(num_images=3)).warnings  # a sample cannot know
    register_mask_folder("scenes", *folders)
    build_hooks(nn.Identity(), EQLSettings(), ["scenes"], str(tmp_path))
    said = "2 of 5 classes are in no label map and are not learned: 2 ('house'), 4 ('comet')"
    assert [said in record.getMessage() for record in caplog.records].count(True) == 1


def test_what_is_left_out_of_the_two_folders_is_said(folders, tmp_path, caplog):
    for name in ("images/notes.txt", "images/Thumbs.db", "masks/.DS_Store"):
        (tmp_path / "scenes" / name).write_text("")
    (tmp_path / "scenes/masks/below").mkdir()
    (tmp_path / "scenes/images/0.jpg").rename(tmp_path / "scenes/images/0.jfif")
    of_images, of_masks = validate_mask_folder(*folders).warnings
    assert of_images.count == of_masks.count == 1
    register_mask_folder("scenes", *folders)
    assert len(DatasetCatalog.get("scenes")) == 6
    assert "notes.txt' is none of the images" in caplog.text
    assert "masks/below' is none of the PNG files" in caplog.text

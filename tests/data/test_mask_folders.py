import json

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from PIL import Image

from eql_d2 import InputError
from eql_d2.data import SemSegMapper, category_table, register_mask_folder
from eql_d2.data.datasets.instance_masks import write_label_maps
from eql_d2.data.validation.validate import validate_mask_folder
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

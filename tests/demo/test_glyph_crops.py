import re

import cv2
import numpy as np
import pytest
from detectron2.data import DatasetCatalog

from eql_d2.data.datasets.class_folders import register_class_folder
from eql_d2.demo import glyph_crops
from eql_d2.demo.glyph_crops import folder_name, generate_glyph_crops
from eql_d2.demo.glyphs import LETTERS, long_tailed_counts


@pytest.fixture(scope="module")
def data_set(tmp_path_factory):
    root = tmp_path_factory.mktemp("crops") / "small"
    assert generate_glyph_crops(root, num_train=400, num_val=2, image_size=32, imbalance=100)
    return root


def test_training_has_the_tail_and_validation_the_same_number_of_each_class(data_set):
    counts = {
        split: [len(list(folder.iterdir())) for folder in sorted((data_set / split).iterdir())]
        for split in ("train", "val")
    }
    assert sorted(counts["train"]) == sorted(long_tailed_counts(150, 400, 100))
    assert counts["train"] != sorted(counts["train"])  # not in the order of the alphabet
    assert counts["val"] == [2] * 150


def test_default_tail_has_many_few_shot_classes():
    counts = long_tailed_counts(150, 8000, 600)
    assert counts.max() > 300 and counts.min() == 1
    assert (counts < 20).sum() > 70 and (counts > 100).sum() > 20


def test_folder_names_are_safe_on_all_file_systems_and_ordered_as_the_letters():
    names = [folder_name(index) for index in range(len(LETTERS))]
    assert names == sorted(names) and len({name.lower() for name in names}) == 150
    assert all(re.fullmatch(r"\d{3}_[A-Za-z_]+", name) for name in names)


def test_registered_folders_give_the_same_classes_for_both_splits(data_set, no_datasets_left):
    for split in ("train", "val"):
        register_class_folder(f"crops_{split}", str(data_set / split))
        records = DatasetCatalog.get(f"crops_{split}")
        for record in records[:: len(records) // 10]:
            label = record["annotations"][0]["category_id"]
            assert f"/{folder_name(label)}/" in record["file_name"]


def test_letters_lie_inside_the_image(monkeypatch):
    shapes = []
    monkeypatch.setattr(glyph_crops, "draw", lambda image, rings, rng: shapes.append(rings))
    for seed, letter in enumerate("ЖЩŵgi" * 20):
        glyph_crops._draw_crop(letter, 32, np.random.default_rng(seed))
    points = np.concatenate([ring for rings in shapes for ring in rings])
    assert points.min() >= 1 and points.max() <= 31


def test_images_have_the_size_asked_for_and_no_two_are_alike(data_set):
    images = [cv2.imread(str(path)) for path in sorted(data_set.rglob("*.png"))]
    assert {image.shape for image in images} == {(32, 32, 3)}
    assert len({image.tobytes() for image in images}) == len(images)

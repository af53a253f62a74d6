import json
import warnings
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pycocotools.mask as mask_util
import pytest
from lvis import LVIS

from eql_d2.demo import glyphs, other_glyphs
from eql_d2.demo.glyph_images import FONTS, outline, random_shape, signed_area
from eql_d2.demo.glyphs import LETTERS, generate_glyphs, letter_name, long_tailed_counts
from eql_d2.exceptions import InputError

SMALL = {"num_train": 40, "num_val": 34, "image_size": 96}
SMALLEST = {"num_train": 17, "num_val": 17, "image_size": 64}


def contents(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


@pytest.fixture(scope="module")
def data_set(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("glyphs") / "small"
    assert generate_glyphs(root, **SMALL)
    return root


@pytest.fixture(scope="module", params=["train", "val"])
def split(request, data_set) -> dict:
    return json.loads((data_set / f"{request.param}.json").read_text())


def test_same_arguments_give_the_same_bytes_and_another_seed_does_not(data_set, tmp_path):
    generate_glyphs(tmp_path / "again", **SMALL)
    assert contents(tmp_path / "again") == contents(data_set)
    generate_glyphs(tmp_path / "other", **SMALL, seed=1)
    image = "images/train/000001.jpg"
    assert contents(tmp_path / "other")[image] != contents(data_set)[image]


def test_files_are_lvis_and_images_are_where_detectron2_looks(data_set):
    for split in ("train", "val"):
        lvis = LVIS(str(data_set / f"{split}.json"))
        assert sorted(lvis.cats) == list(range(1, 151))
        assert sorted(lvis.anns) == list(range(1, len(lvis.anns) + 1))
        for image in lvis.imgs.values():
            folder, name = image["coco_url"].split("/")[-2:]
            assert image["file_name"] == f"{folder}/{name}"
            pixels = cv2.imread(str(data_set / "images" / folder / name))
            assert pixels.shape == (image["height"], image["width"], 3)
            present = {a["category_id"] for a in lvis.img_ann_map[image["id"]]}
            assert present and present.isdisjoint(image["neg_category_ids"])
            assert len(present) + len(image["neg_category_ids"]) == 150


def test_category_counts_and_frequency_come_from_the_training_split(data_set):
    train = json.loads((data_set / "train.json").read_text())
    val = json.loads((data_set / "val.json").read_text())
    assert train["categories"] == val["categories"]
    instances = Counter(a["category_id"] for a in train["annotations"])
    images = Counter(
        c for _, c in {(a["image_id"], a["category_id"]) for a in train["annotations"]}
    )
    for category in train["categories"]:
        count = images[category["id"]]
        assert category["instance_count"] == instances[category["id"]] >= count >= 1
        assert category["image_count"] == count
        assert category["frequency"] == ("r" if count <= 10 else "c" if count <= 100 else "f")
    assert len({c["name"] for c in train["categories"]}) == 150
    assert all(c["name"].isascii() for c in train["categories"])


def test_polygons_lie_inside_the_image_and_agree_with_boxes_and_areas(split):
    size = SMALL["image_size"]
    for annotation in split["annotations"]:
        points = np.concatenate([np.reshape(p, (-1, 2)) for p in annotation["segmentation"]])
        x, y, width, height = annotation["bbox"]
        assert points.min() >= 0 and points.max() <= size
        assert np.abs(points.min(0) - (x, y)).max() <= 1
        assert np.abs(points.max(0) - (x + width, y + height)).max() <= 1
        rles = mask_util.frPyObjects(annotation["segmentation"], size, size)
        filled = mask_util.area(mask_util.merge(rles))
        assert 0 < annotation["area"] <= width * height
        assert abs(filled - annotation["area"]) <= 8 + 0.25 * annotation["area"]


def test_letters_are_drawn_where_the_polygons_say(data_set, split):
    """Most of a letter has one colour, unless another letter covers it."""
    flat = 0
    annotations = split["annotations"][:100]
    images = {image["id"]: image["file_name"] for image in split["images"]}
    for annotation in annotations:
        pixels = cv2.imread(str(data_set / "images" / images[annotation["image_id"]]))
        rles = mask_util.frPyObjects(annotation["segmentation"], *pixels.shape[:2])
        mask = cv2.erode(mask_util.decode(mask_util.merge(rles)), np.ones((2, 2)))
        inside = pixels[mask > 0]
        flat += len(inside) > 0 and (np.abs(inside - np.median(inside, 0)).max(1) < 40).mean() > 0.5
    assert flat >= 0.8 * len(annotations)


def test_default_tail_is_exponential_and_half_of_the_classes_are_rare():
    counts = long_tailed_counts(150, 7200, 600)
    assert (np.diff(counts) <= 0).all() and counts[-1] == 1
    assert 0.4 <= (counts <= 10).mean() <= 0.6
    assert (counts > 100).sum() >= 20
    unrounded = counts[counts > 50]
    assert np.allclose(np.diff(np.log(unrounded)), -np.log(600) / 149, atol=0.03)


def test_names_are_short_and_distinct():
    assert len({letter_name(letter) for letter in LETTERS}) == 150
    names = ["a_acute", "A", "omega_greek", "OMEGA_greek", "SHORT_I_cyrillic"]
    assert [letter_name(letter) for letter in "áAωΩЙ"] == names


def test_validation_has_the_same_number_of_every_class(data_set):
    val = json.loads((data_set / "val.json").read_text())
    assert set(Counter(a["category_id"] for a in val["annotations"]).values()) == {2}


def test_every_font_draws_every_letter():
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Matplotlib warns of letters that a font lacks
        for letter in LETTERS + other_glyphs.LETTERS:
            for font in FONTS:
                assert any(signed_area(ring) > 100 for ring in outline(letter, font))


def test_other_letters_have_other_shapes():
    def shape(letter):
        points = np.concatenate(outline(letter, "DejaVuSans.ttf"))
        return tuple((points - points.min(0)).round().ravel())

    shapes = [shape(letter) for letter in other_glyphs.LETTERS]
    assert len(set(shapes)) == len(shapes) == 200
    assert not set(shapes) & {shape(letter) for letter in LETTERS}


def test_other_letters_are_all_as_frequent(tmp_path):
    letters = other_glyphs.LETTERS[:18]
    assert generate_glyphs(tmp_path / "other", **SMALLEST, imbalance=1.0, letters=letters)
    assert not generate_glyphs(tmp_path / "other", **SMALLEST, imbalance=1.0, letters=letters)
    train = json.loads((tmp_path / "other" / "train.json").read_text())
    assert [category["synonyms"] for category in train["categories"]] == [[c] for c in letters]
    assert {category["instance_count"] for category in train["categories"]} == {8}


def test_complete_data_set_is_left_alone_and_a_damaged_one_is_written_again(tmp_path):
    root = tmp_path / "glyphs"
    assert generate_glyphs(root, **SMALLEST)
    complete = contents(root)
    assert not generate_glyphs(root, **SMALLEST)
    (root / "images/val/000003.jpg").unlink()
    assert generate_glyphs(root, **SMALLEST)
    (root / "val.json").write_text('{"info"')
    assert generate_glyphs(root, **SMALLEST)
    assert contents(root) == complete
    assert generate_glyphs(root, **SMALLEST, seed=1)


def test_interruption_leaves_nothing_behind(tmp_path, monkeypatch):
    written = []

    def interrupted(*args):
        written.append(args)
        if len(written) == 20:
            raise KeyboardInterrupt

    monkeypatch.setattr(glyphs, "draw", interrupted)
    with pytest.raises(KeyboardInterrupt):
        generate_glyphs(tmp_path / "glyphs", **SMALL)
    assert list(tmp_path.iterdir()) == []


def test_directory_of_the_user_is_never_replaced(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="something other"):
        generate_glyphs(tmp_path, **SMALL)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


@pytest.mark.parametrize(
    "name, value", [("num_train", 3), ("num_val", 0), ("image_size", 8), ("imbalance", 0.5)]
)
def test_bad_arguments_are_named(tmp_path, name, value):
    with pytest.raises(InputError, match=f"{name}={value}"):
        generate_glyphs(tmp_path / "glyphs", **{**SMALL, name: value})


def test_shapes_fit_into_the_image_at_the_largest_size():
    rng = np.random.default_rng(0)
    for letter in "ŵWЩЮΨ":
        for _ in range(50):
            points = np.concatenate(random_shape(letter, 160, rng))
            assert (points.max(0) - points.min(0)).max() < 158

from collections import Counter

import cv2
import numpy as np
import pytest

from eql_d2.demo import glyph_maps, glyphs
from eql_d2.demo.glyph_maps import LETTERS, generate_glyph_maps
from eql_d2.demo.glyphs import long_tailed_counts


@pytest.fixture(scope="module")
def data_set(tmp_path_factory):
    root = tmp_path_factory.mktemp("maps") / "small"
    assert generate_glyph_maps(root, num_train=60, num_val=32, image_size=96, imbalance=20)
    return root


def label_maps(data_set, split):
    paths = sorted((data_set / "labels" / split).iterdir())
    return [cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in paths]


@pytest.mark.parametrize("split", ["train", "val"])
def test_each_image_has_a_label_map_of_its_size_with_known_labels(data_set, split):
    images = sorted(path.name for path in (data_set / "images" / split).iterdir())
    assert images == sorted(path.name for path in (data_set / "labels" / split).iterdir())
    for labels in label_maps(data_set, split):
        assert labels.shape == (96, 96) and labels.dtype == np.uint8  # indices, not colours
        assert labels.max() <= len(LETTERS)
        assert 0.5 < (labels == 0).mean() < 1


def test_classes_are_the_background_and_the_letters(data_set):
    names = (data_set / "classes.txt").read_text().splitlines()
    assert names[:3] == ["background", "a", "a_acute"]
    assert len(set(names)) == len(names) == len(LETTERS) + 1
    assert set(LETTERS) <= set(glyphs.LETTERS)


def test_training_has_the_tail_and_validation_the_same_number_of_each_letter(monkeypatch, tmp_path):
    drawn = []
    monkeypatch.setattr(
        glyph_maps, "_draw_map", lambda letters, *_: drawn.append(letters) or [np.eye(2)] * 2
    )
    generate_glyph_maps(tmp_path / "maps", num_train=60, num_val=32, imbalance=20)
    counts = [Counter(np.concatenate(part)) for part in (drawn[:60], drawn[60:])]
    assert sorted(counts[0].values()) == sorted(long_tailed_counts(40, 240, 20))
    assert set(counts[1].values()) == {3} and len(counts[1]) == 40


def test_hardly_a_letter_is_covered_completely(data_set):
    """Each class must be seen in training, and tested."""
    shown = Counter(int(k) for labels in label_maps(data_set, "val") for k in np.unique(labels))
    assert set(shown) == set(range(41))
    assert sum(shown.values()) - shown[0] > 0.85 * 120  # a letter may also be twice in an image


def test_labels_are_where_the_letter_was_drawn():
    rng = np.random.default_rng(3)
    image, labels = glyph_maps._draw_map([5], 128, rng)
    core = cv2.erode((labels == 6).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    assert core.sum() > 20
    assert np.abs(image[core].astype(int) - np.median(image[core], 0)).max() <= 1
    outside = cv2.dilate((labels > 0).astype(np.uint8), np.ones((3, 3), np.uint8)) == 0
    assert (np.abs(image[outside].astype(int) - np.median(image[core], 0)).max(1) > 1).mean() > 0.98

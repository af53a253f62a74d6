"""A long tail cut from images that hold objects of several classes."""

import json
import logging

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog

from eql_d2 import InputError
from eql_d2.data import LongTail, adopt_training_classes, category_table, register_own_data
from eql_d2.data.datasets.long_tail import cut_records, long_tail_counts
from eql_d2.engine import get_parser, own_data_of
from tests.conftest import make_annotations

pytestmark = pytest.mark.usefixtures("no_datasets_left")


def records_of(shown):
    return [
        {"image_id": i, "annotations": [{"category_id": label} for label in labels]}
        for i, labels in enumerate(shown)
    ]


def cut(shown, num_classes, factor, seed=0):
    names = [f"class{k}" for k in range(num_classes)]
    return cut_records("own", records_of(shown), names, LongTail(factor, seed))


def counts_of(records, num_classes):
    shown = [{a["category_id"] for a in record["annotations"]} for record in records]
    return [sum(k in labels for labels in shown) for k in range(num_classes)]


def test_of_images_with_one_class_each_the_profile_is_what_comes_out():
    shown = [[k] * 3 for k in range(10) for _ in range(200)]
    profile = long_tail_counts([200] * 10, LongTail(100, 4))
    kept = cut(shown, 10, 100, seed=4)
    assert counts_of(kept, 10) == profile
    assert (max(profile), min(profile)) == (200, 2)
    assert [record["image_id"] for record in kept] == sorted(r["image_id"] for r in kept)


def coupled(num_classes=40, num_images=2000):
    """Up to five classes in an image, class k about in proportion to 1 / (k + 3)."""
    random = np.random.default_rng(0)
    share = 1 / np.arange(3, num_classes + 3)
    return [
        random.choice(num_classes, random.integers(1, 6), p=share / share.sum()).tolist()
        for _ in range(num_images)
    ]


@pytest.mark.parametrize("seed", range(4))
def test_classes_that_share_images_never_pass_the_profile_and_the_tail_has_it(seed):
    shown, factor = coupled(), 100
    profile = long_tail_counts(counts_of(records_of(shown), 40), LongTail(factor, seed))
    counts = counts_of(cut(shown, 40, factor, seed), 40)
    assert all(0 < count <= wanted for count, wanted in zip(counts, profile))
    rarest = sorted(range(40), key=lambda k: profile[k])[:10]
    assert [counts[k] for k in rarest] == [profile[k] for k in rarest]


def test_only_whole_images_go():
    shown = [*coupled(), []]
    kept = cut(shown, 40, 50)
    assert 0 < len(kept) < len(shown) and kept[-1]["annotations"] == []
    for record in kept:
        assert [a["category_id"] for a in record["annotations"]] == shown[record["image_id"]]


def test_the_same_arguments_keep_the_same_images_in_every_version():
    shown = coupled(6, 60)
    found = [[r["image_id"] for r in cut(shown, 6, 10, seed)] for seed in (0, 0, 1)]
    assert found[0] == found[1] != found[2]
    # Another draw would make other people's numbers incomparable, without a word.
    assert found[0] == [
        *(1, 4, 6, 8, 10, 12, 14, 15, 18, 20, 21),
        *(22, 24, 32, 34, 37, 38, 44, 45, 48, 51, 58),
    ]


def test_a_class_that_would_be_left_out_gets_the_image_with_the_least_beside_it():
    """Class 0 is always with class 1; classes 1 and 2 may keep one image each."""
    shown = [*[[1]] * 50, *[[2]] * 20, *[[0, 1, 2]] * 2, [0, 1]]
    first = next(s for s in range(99) if np.random.RandomState(s).permutation(3)[0] == 0)
    assert long_tail_counts([3, 53, 22], LongTail(53**2, first)) == [3, 1, 1]
    kept = cut(shown, 3, 53**2, first)
    assert [shown[record["image_id"]] for record in kept] == [[1], [2], [0, 1]]


def test_crowd_regions_do_not_count():
    records = records_of([[0]] * 4 + [[1]] * 4)
    for record in records[4:7]:
        record["annotations"].append({"category_id": 0, "iscrowd": 1})
    kept = cut_records("own", records, ["a", "b"], LongTail(1, 0))
    assert kept == records
    del records[:4]
    assert cut_records("own", records, ["a", "b"], LongTail(1, 0)) == records


def test_classes_without_an_object_have_no_place_and_are_all_named(caplog):
    """They ended the run, one after the other."""
    shown = [[1]] * 9 + [[3]] * 9
    kept = cut(shown, 5, 9, 0)
    assert len(kept) == 10  # 9 and 1: the tail is cut from the two that have objects
    line = "3 of 5 categories have no object and no place in the long tail: 'class0', 'class2', "
    assert line in caplog.text
    with pytest.raises(InputError, match="'own' has no object: there is no long tail to cut"):
        cut([[], []], 5, 9)
    assert sorted(long_tail_counts([0, 9, 0, 9], LongTail(9, 0))) == [0, 0, 1, 9]


def own_data(*options):
    return own_data_of(get_parser().parse_args(options))


def files(folder, **kwargs):
    (folder / "data.json").write_text(json.dumps(make_annotations(folder, **kwargs)))
    return str(folder / "data.json"), str(folder)


@pytest.mark.parametrize("federated", [True, False])
def test_option_registers_the_tail_with_its_counts_and_the_whole_of_the_classes(
    tmp_path, caplog, federated
):
    paths = files(tmp_path, num_images=24, federated=federated)
    options = own_data("--long-tail", "cut", *paths, "4", "3", "--dataset", "whole", *paths)
    assert options["JSON"] == (("whole", *paths), ("cut", *paths, 4.0, 3))
    caplog.set_level(logging.INFO, "eql_d2.data.datasets.long_tail")
    register_own_data(*options.values())
    caplog.clear()
    whole, kept = DatasetCatalog.get("whole"), DatasetCatalog.get("cut")
    assert 0 < len(kept) < len(whole) and all(record in whole for record in kept)
    metadata = MetadataCatalog.get("cut")
    assert metadata.evaluator_type == ("lvis" if federated else "coco")
    assert metadata.thing_classes == MetadataCatalog.get("whole").thing_classes
    counts = counts_of(kept, 5)
    table = category_table(["cut"])
    assert [row["image_count"] for row in table.rows()] == counts
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith(f"cut: long tail of factor 4, seed 3: {len(kept)} of 24 images; images")
    assert f"{max(counts)} to {min(counts)} (profile" in line


def test_a_tail_is_no_test_data(tmp_path):
    paths = files(tmp_path, num_images=24)
    register_own_data([("cut", *paths, 4, 3), ("whole", *paths)])
    adopt_training_classes(["cut"], ["whole"])
    with pytest.raises(InputError, match="test data 'cut' are a long tail .* --dataset") as error:
        adopt_training_classes(["cut"], ["cut"])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("factor", "seed", "message"),
    [
        (0.5, 0, "'own': long-tail factor is 0.5: give"),
        (float("nan"), 0, "long-tail factor is nan"),
        (float("inf"), 0, "long-tail factor is inf"),
        ("many", 0, "long-tail factor is 'many'"),
        (True, 0, "long-tail factor is True"),
        (100, -1, "long-tail seed is -1"),
        (100, 1.5, "long-tail seed is 1.5"),
        (100, 2**32, "long-tail seed is 4294967296"),
    ],
)
def test_bad_values_of_a_config_get_one_line(tmp_path, factor, seed, message):
    with pytest.raises(InputError, match=message) as error:
        register_own_data([("own", *files(tmp_path), factor, seed)])
    assert "\n" not in str(error.value) and "own" not in DatasetCatalog.list()


def test_bad_options_and_entries_get_one_line(tmp_path):
    paths = files(tmp_path)
    for words in (("x", "0"), ("100", "1.5")):
        with pytest.raises(InputError, match=f"--long-tail own .* {' '.join(words)}: the last two"):
            own_data("--long-tail", "own", *paths, *words)
    with pytest.raises(InputError, match="DATASETS.JSON has the entry .*: give 3 or 5 values"):
        register_own_data([("own", *paths, 100)])

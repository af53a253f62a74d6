"""Categories of training data: counted once, by the main process, and grouped by a rule."""

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from detectron2.data import DatasetCatalog, MetadataCatalog

from eql_d2 import InputError
from eql_d2.data import (
    category_table,
    frequency_groups,
    get_image_frequency,
    group_by_instances,
    group_labels,
    register_mask_folder,
)
from eql_d2.distributed import end_process_group
from tests.data.label_map_folders import CLASSES, make_mask_folder

pytestmark = pytest.mark.usefixtures("no_datasets_left")


def counted(name, rows):
    DatasetCatalog.register(name, lambda: pytest.fail("it is counted already"))
    MetadataCatalog.get(name).set(thing_classes=["a", "b"], class_image_count=rows)


def test_counts_of_the_metadata_add_up_and_nothing_is_loaded():
    counted(
        "one",
        [
            {"id": 7, "image_count": 30, "instance_count": 90},
            {"id": 3, "image_count": 4, "instance_count": 5},
        ],
    )
    counted("two", [{"id": 3, "image_count": 5, "instance_count": 6}, {"id": 7, "image_count": 80}])
    table = category_table(["one"])
    assert table.rows() == [
        {"name": "a", "group": "r", "image_count": 4, "instance_count": 5},
        {"name": "b", "group": "c", "image_count": 30, "instance_count": 90},
    ]
    assert table.counts.ids == [3, 7]
    assert table.groups.rule == (
        "rare / common / frequent: rare to 10, common to 100 training images (1 / 1 / 0 classes)"
    )
    rows = category_table(["one", "two"], (8, 9)).rows()
    assert [(row["group"], row["image_count"], row["instance_count"]) for row in rows] == [
        ("c", 9, None),
        ("f", 110, None),
    ]


def bare_records(name, num_images=3):
    """A data set that nobody has counted; returns how often it has been loaded."""
    loaded = []

    def load():
        loaded.append(name)
        return [{"annotations": [{"category_id": i % 2}]} for i in range(num_images)]

    DatasetCatalog.register(name, load)
    MetadataCatalog.get(name).thing_classes = ["a", "b"]
    return loaded


def test_b_data_are_counted_once_and_the_metadata_stay_as_they_were():
    loaded = bare_records("bare")
    before = MetadataCatalog.get("bare").as_dict()
    for _ in range(3):  # the stages of a cascade, hook and evaluator
        frequency = get_image_frequency(["bare"])
        assert category_table("bare").counts.image_count.tolist() == [2, 1]
    torch.testing.assert_close(frequency, torch.tensor([2 / 3, 1 / 3]).double())
    assert len(loaded) <= 2 and MetadataCatalog.get("bare").as_dict() == before
    DatasetCatalog.remove("bare")
    MetadataCatalog.remove("bare")
    bare_records("bare", num_images=4)  # another data set of the same name
    assert category_table("bare").counts.image_count.tolist() == [2, 2]


def count_in_two_processes(rank, port_file, result_file):
    dist.init_process_group("gloo", init_method=f"file://{port_file}", rank=rank, world_size=2)
    loaded = bare_records("bare")
    frequency = get_image_frequency(["bare"])
    rows = category_table(["bare"]).rows()
    DatasetCatalog.register("bad", lambda: [])
    MetadataCatalog.get("bad").thing_classes = ["a"]
    with pytest.raises(InputError, match="no annotated image"):
        get_image_frequency(["bad"])
    with pytest.raises(KeyError, match="missing"):
        category_table(["missing"])  # what fails in the main process fails everywhere
    torch.save((len(loaded), frequency, rows), f"{result_file}{rank}")
    end_process_group()


@pytest.mark.slow
def test_b_of_several_processes_the_main_one_counts(tmp_path):
    mp.spawn(count_in_two_processes, (tmp_path / "store", f"{tmp_path}/result"), nprocs=2)
    main, other = (torch.load(f"{tmp_path}/result{rank}", weights_only=False) for rank in (0, 1))
    assert main[0] > 0 and other[0] == 0
    assert torch.equal(main[1], other[1]) and main[2] == other[2]


def test_a_frequencies_of_label_maps_are_shares_of_the_images(tmp_path):
    register_mask_folder("scenes", *make_mask_folder(tmp_path / "scenes"))
    expected = [6, 3, 2, 2, 2]  # class k is in one of k + 1 images, class 0 in all
    assert category_table("scenes").counts.image_count.tolist() == expected
    torch.testing.assert_close(
        get_image_frequency("scenes"), torch.tensor(expected).double() / 6, rtol=1e-12, atol=0
    )
    assert [row["name"] for row in category_table("scenes").rows()] == CLASSES


def test_groups_have_the_thresholds_of_lvis():
    assert frequency_groups([1, 10, 11, 100, 101]) == ["r", "r", "c", "c", "f"]
    assert frequency_groups(np.array([3, 4]), (3, 12)) == ["r", "c"]
    with pytest.raises(InputError, match=r"thresholds are \(100, 10\)"):
        frequency_groups([1], (100, 10))


PIXEL_SHARE = np.array([0.5, 0, 0.3, 0.1, 0.1, 0, 0])
IMAGE_COUNT = np.array([9, 0, 9, 2, 5, 0, 1])


@pytest.mark.parametrize(
    ("rule", "expected", "text"),
    [
        (("pixels", ()), "f0fcc0r", "terciles by share of the labelled training pixels (2 / 2 / 1"),
        (("pixels", (0.1, 0.4)), "f0crr0r", "tail to 0.1, common to 0.4 of the share"),
        (("images", (1, 5)), "f0fcc0r", "tail to 1, common to 5 of the training images"),
    ],
)
def test_groups_of_label_maps_follow_the_rule_and_say_it(rule, expected, text):
    groups = group_labels(PIXEL_SHARE, IMAGE_COUNT, *rule)
    assert "".join(groups.groups) == expected and text in groups.rule


def test_a_class_without_a_training_image_is_in_no_group_of_rare_ones():
    """Such classes were rare, and the rarest fifth of Open Images was made of them."""
    assert frequency_groups([0, 1, 0, 500]) == ["0", "r", "0", "f"]
    groups = group_by_instances([0, 5, 1, 2, 0, 4, 3, 0])
    assert groups.groups == ["0", "5", "1", "2", "0", "4", "3", "0"]
    assert groups.rule.endswith("(1 / 1 / 1 / 1 / 1 classes, 3 without an image)")


@pytest.mark.parametrize("rule", [("area", ()), ("pixels", (0.1,)), ("images", (5, 1))])
def test_bad_rules_are_named(rule):
    with pytest.raises(InputError, match="MODEL.EQL.SEM_SEG"):
        group_labels(PIXEL_SHARE, IMAGE_COUNT, *rule)

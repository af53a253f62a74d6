"""Data that show only some of the classes take the list of the training data."""

import json

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog, get_detection_dataset_dicts
from PIL import Image

from eql_d2 import InputError
from eql_d2.data import (
    SemSegMapper,
    adopt_training_classes,
    category_table,
    class_names,
    register_class_folder,
    register_json_instances,
    register_mask_folder,
)
from eql_d2.evaluation import SemSegEvaluator
from tests.conftest import make_annotations
from tests.data.class_images import make_class_folders
from tests.data.label_map_folders import CLASSES, make_mask_folder

pytestmark = pytest.mark.usefixtures("no_datasets_left")


def labels_of(name):
    records = get_detection_dataset_dicts(name, filter_empty=False)
    return [a["category_id"] for record in records for a in record["annotations"]]


def test_c_class_folders_of_test_data_may_be_missing_or_empty(tmp_path):
    register_class_folder("train", make_class_folders(tmp_path / "train", [2] * 4))
    make_class_folders(tmp_path / "val", [0, 1, 0, 2])
    (tmp_path / "val/class0").rmdir()
    register_class_folder("val", str(tmp_path / "val"))
    assert class_names("val") == ["class1", "class2", "class3"]
    for _ in range(2):  # twice is once
        adopt_training_classes(["train"], ["train", "val"])
    assert class_names("val") == class_names("train") == [f"class{k}" for k in range(4)]
    assert labels_of("val") == [1, 3, 3] and labels_of("train") == [0, 0, 1, 1, 2, 2, 3, 3]
    assert MetadataCatalog.get("val").evaluator_type == "classification"


def test_c_an_unknown_class_of_test_data_is_named(tmp_path):
    register_class_folder("train", make_class_folders(tmp_path / "train", [1, 1]))
    register_class_folder("val", make_class_folders(tmp_path / "val", [1, 1, 1]))
    with pytest.raises(InputError, match=r"'val' \(3\) and training data 'train' \(2\).*'class2'"):
        adopt_training_classes(["train"], ["val"])


def test_c_a_list_of_categories_may_be_shorter_and_have_other_ids(tmp_path):
    for split in ("train", "val"):
        (tmp_path / split).mkdir()
        data = make_annotations(tmp_path / split)
        if split == "val":
            data["categories"] = [{"id": 5, "name": "class3"}, {"id": 7, "name": "class1"}]
            ids = {40: 5, 20: 7}
            data["annotations"] = [
                {**a, "category_id": ids[a["category_id"]]}
                for a in data["annotations"]
                if a["category_id"] in ids
            ]
            for image in data["images"]:
                image["neg_category_ids"] = [5]
        (tmp_path / f"{split}.json").write_text(json.dumps(data))
        register_json_instances(split, str(tmp_path / f"{split}.json"), str(tmp_path / split))
    adopt_training_classes(["train"], ["val"])
    assert sorted(set(labels_of("val"))) == [1, 3]
    metadata = MetadataCatalog.get("val")
    assert metadata.thing_classes == MetadataCatalog.get("train").thing_classes
    ids = metadata.thing_dataset_id_to_contiguous_id
    assert (ids[5], ids[7]) == (3, 1) and sorted(ids.values()) == list(range(5))


def test_c_label_maps_of_a_shorter_list_are_read_by_the_training_classes(tmp_path):
    register_mask_folder("train", *make_mask_folder(tmp_path / "train"))
    images, masks, class_file = make_mask_folder(tmp_path / "val")
    own = ["comet", "sky"]  # 4 and 0 of the training data
    (tmp_path / "val/classes.txt").write_text("\n".join(own))
    labels = np.array([[0, 1], [255, 1]], np.uint8).repeat(32, 0).repeat(48, 1)
    for path in (tmp_path / "val/masks").iterdir():
        Image.fromarray(labels).save(path)
    register_mask_folder("val", images, masks, class_file)
    adopt_training_classes(["train"], ["val"])
    assert class_names("val", "stuff_classes") == CLASSES
    evaluator = SemSegEvaluator("val")
    evaluator.reset()
    record = DatasetCatalog.get("val")[0]
    logits = np.zeros((5, 64, 96), np.float32)
    logits[4, :, :48], logits[0, :, 48:] = 1, 1
    evaluator.process([record], [{"sem_seg": torch.from_numpy(logits)}])
    results = evaluator.evaluate()["sem_seg"]
    assert results["mIoU"] == 100 and results["IoU-comet"] == results["IoU-sky"] == 100
    assert np.isnan(results["IoU-grass"])


def test_c_a_second_pair_in_the_same_process_starts_from_the_lists_of_the_files(tmp_path):
    for name, classes in {"one": "abc", "two": "cbad", "val": "ab"}.items():
        folder = tmp_path / name
        for class_name in classes:
            (folder / class_name).mkdir(parents=True)
            Image.new("RGB", (8, 8)).save(folder / class_name / "0.png")
        register_class_folder(name, str(folder))
    for training in ("one", "two", "one"):
        adopt_training_classes([training], ["val"])
        assert class_names("val") == class_names(training)
        assert [class_names("val")[label] for label in labels_of("val")] == ["a", "b"]
    with pytest.raises(InputError, match="'two' has class 'd'"):
        adopt_training_classes(["one"], ["two"])


def test_c_counts_of_a_name_that_is_registered_anew_are_the_new_ones():
    for keep_metadata in (False, True):
        for label in (0, 1):
            DatasetCatalog.register("anew", lambda k=label: [{"annotations": [{"category_id": k}]}])
            MetadataCatalog.get("anew").set(thing_classes=["a", "b"], evaluator_type="coco")
            counts = category_table("anew").counts.image_count.tolist()
            assert counts == [1 - label, label]
            DatasetCatalog.remove("anew")
            if not keep_metadata:
                MetadataCatalog.remove("anew")
    MetadataCatalog.remove("anew")


def write_files(tmp_path, **classes):
    """A data set in COCO format for each name, of one image of each class."""
    for name, own in classes.items():
        (tmp_path / name).mkdir()
        images, boxes = [], []
        for k in range(len(own)):
            Image.new("RGB", (8, 8)).save(tmp_path / name / f"{k}.png")
            images.append({"id": k, "file_name": f"{k}.png", "width": 8, "height": 8})
            boxes.append({"id": k, "image_id": k, "category_id": k, "bbox": [1, 1, 4, 4]})
        categories = [{"id": k, "name": class_name} for k, class_name in enumerate(own)]
        data = {"images": images, "annotations": boxes, "categories": categories}
        (tmp_path / f"{name}.json").write_text(json.dumps(data))
        register_json_instances(name, str(tmp_path / f"{name}.json"), str(tmp_path / name))


def test_training_data_are_joined_by_the_names_of_their_classes(tmp_path):
    """Counts were added by index; the training was refused."""
    write_files(tmp_path, part=["dog", "cat"], whole=["cat", "dog", "owl"], turned=["owl", "cat"])
    names = ("part", "whole", "turned")
    counts = category_table(names).counts
    assert dict(zip(counts.names, counts.image_count.tolist())) == {"cat": 3, "dog": 2, "owl": 2}
    for name in names:
        assert class_names(name) == ["cat", "dog", "owl"]
    records = get_detection_dataset_dicts(names)  # which refuses different lists
    labels = [record["annotations"][0]["category_id"] for record in records]
    assert labels == [1, 0, 0, 1, 2, 2, 0]
    adopt_training_classes(["turned"], [])
    assert class_names("turned") == ["owl", "cat"] and labels_of("turned") == [0, 1]


def test_training_data_that_cannot_be_joined_say_in_what_they_differ(tmp_path):
    write_files(tmp_path, a=["cat", "dog"], b=["cat", "owl", *"vwxyz"])
    message = (
        "training data 'a' .2. and 'b' .7. have different categories: 'a' has class 'dog' and 'b' "
        "has classes 'owl', 'v', 'w' and 3 more; give both the same list"
    )
    with pytest.raises(InputError, match=message):
        category_table(["a", "b"])


def test_label_maps_of_another_order_are_trained_and_counted_by_name(tmp_path):
    register_mask_folder("one", *make_mask_folder(tmp_path / "one"))
    images, masks, class_file = make_mask_folder(tmp_path / "two")
    (tmp_path / "two/classes.txt").write_text("\n".join(CLASSES[::-1]))
    register_mask_folder("two", images, masks, class_file)
    alone = {name: category_table(name).counts.pixel_count for name in ("one", "two")}
    joined = category_table(("one", "two")).counts.pixel_count
    assert joined.tolist() == (alone["one"] + alone["two"][::-1]).tolist()
    mapper = SemSegMapper(is_train=True, augmentations=[], image_format="RGB", num_classes=5)
    records = get_detection_dataset_dicts(["one", "two"], filter_empty=False)
    half = len(records) // 2
    for one, two in zip(records[:half], records[half:]):
        labels, turned = mapper(one)["sem_seg"], mapper(two)["sem_seg"]
        assert torch.equal(turned, torch.where(labels == 255, 255, 4 - labels))

"""Detections that are the annotations have an AP of 100, whatever tool has written the file."""

import json
import logging

import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import register_coco_instances
from detectron2.structures import Boxes, Instances

from eql_d2 import InputError
from eql_d2.data import category_table, register_json_instances
from eql_d2.evaluation import build_evaluator
from eql_d2.study.results import coverage_of
from tests.conftest import make_annotations

pytestmark = pytest.mark.usefixtures("no_datasets_left")


@pytest.fixture
def register(tmp_path):
    """Registers the tiny data, changed, by a name; returns their content as it was."""

    def register(name, change, federated=False):
        (tmp_path / name).mkdir()
        content = make_annotations(tmp_path / name, federated=federated)
        as_made = json.loads(json.dumps(content))
        change(content)
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
        register_json_instances(name, str(tmp_path / f"{name}.json"), str(tmp_path / name))
        return as_made

    return register


def evaluate_truth(evaluator, content):
    """Box metrics of the annotations as detections; class k has the category id 10 (k + 1)."""
    evaluator.reset()
    for image in content["images"]:
        objects = [a for a in content["annotations"] if a["image_id"] == image["id"]]
        boxes = torch.tensor([a["bbox"] for a in objects]).float().view(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        found = Instances((image["height"], image["width"]))
        found.pred_boxes, found.scores = Boxes(boxes), torch.ones(len(objects))
        found.pred_classes = torch.tensor([a["category_id"] // 10 - 1 for a in objects]).long()
        evaluator.process([{"image_id": image["id"]}], [{"instances": found}])
    return evaluator.evaluate()["bbox"]


def numbered(number):
    def change(content):
        for i, annotation in enumerate(content["annotations"]):
            annotation["id"] = number(i)

    return change


@pytest.mark.parametrize("federated", [False, True], ids=["COCO", "LVIS"])
@pytest.mark.parametrize("first", [0, 1, -5, 2**40])
def test_the_ids_of_annotations_decide_nothing(register, first, federated):
    """A match with id 0 was no match: AP 96 instead of 100, and 0 for a class of one object."""
    content = register("own", numbered(lambda i: first + i), federated)
    results = evaluate_truth(build_evaluator("own", None), content)
    assert results["AP"] == pytest.approx(100, abs=1e-9)


def permuted(content):
    """The same classes in another order: ids fall where they rose, names keep their objects."""
    for category in content["categories"]:
        category["id"] = 60 - category["id"]
    for annotation in content["annotations"]:
        annotation["category_id"] = 60 - annotation["category_id"]
    for image in content["images"]:
        image.get("neg_category_ids", []).clear()


@pytest.mark.parametrize("federated", [False, True], ids=["COCO", "LVIS"])
def test_a_script_gets_the_classes_in_the_order_of_training(register, federated):
    """As the trainers: perfect detections had AP 0 where the files list the classes differently."""
    register("own_train", lambda content: None, federated)
    content = register("own_val", permuted, federated)
    evaluator = build_evaluator("own_val", None, training_datasets="own_train")
    assert evaluate_truth(evaluator, content)["AP"] == pytest.approx(100, abs=1e-9)
    assert DatasetCatalog.get("own_val")[0]["annotations"][0]["category_id"] == 0


@pytest.mark.parametrize("federated", [False, True], ids=["COCO", "LVIS"])
def test_classes_without_a_training_image_are_in_no_group_of_the_evaluators(
    register, federated, tmp_path
):
    """Two classes that training never showed made "rare" of three."""

    def forget_two(content):
        content["annotations"] = [a for a in content["annotations"] if a["category_id"] > 20]

    register("own_train", forget_two, federated)
    content = register("own_val", lambda content: None, federated)
    only_common = {**content, "annotations": content["annotations"]}
    only_common["annotations"] = [a for a in content["annotations"] if a["category_id"] > 20]
    rules = {"training_datasets": "own_train", "frequency_thresholds": (1, 10)}
    results = evaluate_truth(build_evaluator("own_val", str(tmp_path), **rules), only_common)
    assert results["AP"] == pytest.approx(60) and results["APr"] == pytest.approx(100)
    groups = json.loads((tmp_path / "evaluation.json").read_text())["groups"]
    assert groups["sizes"] == {"r": 1, "c": 2, "0": 2}
    assert groups["rule"].endswith("(1 / 2 / 0 classes, 2 without an image)")


@pytest.mark.parametrize("federated", [False, True], ids=["COCO", "LVIS"])
@pytest.mark.parametrize("is_found", [True, False])
def test_an_object_to_be_ignored_counts_nowhere(register, federated, is_found, tmp_path, caplog):
    """It was trained on and counted, while LVIS's evaluator ignored it and COCO's did not."""

    def ignore(content):
        for annotation in content["annotations"]:
            if annotation["category_id"] == 10 or annotation["id"] % 4 == 0:
                annotation["ignore"] = int(annotation["id"] % 2 == 0)

    content = register("own", ignore, federated)
    ignore(content)
    num_ignored = sum(a.get("ignore", 0) for a in content["annotations"])
    records = DatasetCatalog.get("own")
    assert sum(a["iscrowd"] for r in records for a in r["annotations"]) == num_ignored > 2
    counts = category_table("own").counts.instance_count
    assert counts.sum() == len(content["annotations"]) - num_ignored
    assert f"{num_ignored - 1} more: it is not trained on and not counted" in caplog.text
    if not is_found:
        content["annotations"] = [a for a in content["annotations"] if not a.get("ignore")]
    evaluator = build_evaluator("own", str(tmp_path), training_datasets="own")
    assert evaluate_truth(evaluator, content)["AP"] == pytest.approx(100, abs=1e-9)
    table = json.loads((tmp_path / "per_category_bbox.json").read_text())
    assert [row["instance_count"] for row in table] == counts.tolist()


def blemished(content):
    """Doubled ids, a root category, boxes outside, of no area, of none in their images, no mask."""
    for category in content["categories"]:
        category["supercategory"] = "export"
    content["categories"].insert(0, {"id": 0, "name": "export", "supercategory": "none"})
    boxes = [-1.5, 3, 12, 12], [5, 5, 9, 0], [80.5, 5, 0.4, 9], [-2.5, 5, 2, 9], [60, 40, 21.5, 24]
    for annotation, box in zip(content["annotations"], boxes):
        annotation.update(bbox=box, id=7)
    if "neg_category_ids" not in content["images"][0]:  # in LVIS format it is refused
        content["annotations"][6]["segmentation"] = [[1, 1, 9, 9]]


@pytest.mark.parametrize("evaluator_type", ["coco", "lvis", "open_images"])
def test_small_blemishes_are_taken_alike_in_training_and_by_each_evaluator(
    register, evaluator_type, tmp_path
):
    """The objects that training gets are all objects that are looked for."""
    register("own", blemished, evaluator_type == "lvis")
    counts = category_table("own").counts.instance_count.tolist()
    vars(MetadataCatalog.get("own"))["evaluator_type"] = evaluator_type
    records = DatasetCatalog.get("own")
    trained_on = [
        {**a, "image_id": r["image_id"], "category_id": 10 * (a["category_id"] + 1)}
        for r in records
        for a in r["annotations"]
    ]
    assert len(trained_on) == (14 if evaluator_type == "lvis" else 13)
    images = [{**record, "id": record["image_id"]} for record in records]
    results = evaluate_truth(
        build_evaluator("own", str(tmp_path)), {"images": images, "annotations": trained_on}
    )
    main = "AP50" if evaluator_type == "open_images" else "AP"
    assert results[main] == pytest.approx(100, abs=1e-9)
    table = json.loads((tmp_path / "per_category_bbox.json").read_text())
    assert [row["instance_count"] for row in table] == counts and sum(counts) == len(trained_on)


def test_data_that_detectron2_registers_are_told_by_names_too(register, tmp_path):
    """Their classes are known when they are loaded: perfect detections had AP 0, without a line."""
    content = register("as_val", permuted)
    register("as_train", lambda content: None)
    for name in ("train", "val"):
        json_file, images = tmp_path / f"as_{name}.json", tmp_path / f"as_{name}"
        register_coco_instances(name, {}, str(json_file), str(images))
    for _ in range(2):
        evaluator = build_evaluator("val", None, training_datasets="train")
        assert evaluate_truth(evaluator, content)["AP"] == pytest.approx(100, abs=1e-9)
        assert DatasetCatalog.get("val")[0]["annotations"][0]["category_id"] == 0


@pytest.mark.parametrize("federated", [False, True], ids=["COCO", "LVIS"])
def test_test_data_that_show_one_class_of_many_say_so(register, federated, tmp_path, caplog):
    def forget_others(content):
        content["annotations"] = [a for a in content["annotations"] if a["category_id"] == 30]

    content = register("own", forget_others, federated)
    forget_others(content)
    assert evaluate_truth(build_evaluator("own", str(tmp_path / "inference")), content)["AP"] == 100
    line = "own shows 1 of 5 categories: the means are over that one"
    assert ("eql_d2.evaluation.evaluation_json", logging.WARNING, line) in caplog.record_tuples
    assert coverage_of(tmp_path) == (line,)


def test_a_script_whose_test_data_have_another_class_is_refused(register):
    register("own_train", lambda content: None)
    register("own_val", lambda content: content["categories"][2].update(name="other"))
    with pytest.raises(InputError, match="'own_val' has class 'other'"):
        build_evaluator("own_val", None, training_datasets="own_train")

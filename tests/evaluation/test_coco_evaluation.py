import json
import math

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import COCOEvaluator as Detectron2COCOEvaluator
from detectron2.evaluation import LVISEvaluator as Detectron2LVISEvaluator

from eql_d2.evaluation import COCOEvaluator, LVISEvaluator, build_evaluator
from eql_d2.exceptions import InputError

from .federated_data import (
    NUM_CATEGORIES,
    evaluate,
    make_outputs,
    make_truth,
    registered,
    without_masks,
)
from .training_categories import trained_on

# Category ids fall where the classes rise: groups must follow the class.
IDS = {NUM_CATEGORIES - i: i for i in range(NUM_CATEGORIES)}
GROUPS = ["r"] * 10 + ["f"] * 30


@pytest.fixture(scope="module")
def data():
    truth = make_truth(0, num_images=20)
    outputs = without_masks(make_outputs(truth, 0))
    truth["annotations"] = [{**a, "iscrowd": 0} for a in truth["annotations"]]
    truth["categories"] = [{"id": c["id"], "name": c["name"]} for c in truth["categories"]]
    return truth, outputs


def test_coco_results_by_group(tmp_path, data):
    truth, outputs = data
    names = [f"class {i}" for i in range(NUM_CATEGORIES)]
    metadata = {"thing_classes": names, "thing_dataset_id_to_contiguous_id": IDS}
    with registered("coco", tmp_path / "truth.json", truth, **metadata) as name:
        plain = evaluate(Detectron2COCOEvaluator(name), truth, outputs)["bbox"]
        evaluator = COCOEvaluator(name, output_dir=tmp_path, training_categories=trained_on(GROUPS))
        results = evaluate(evaluator, truth, outputs)["bbox"]
        ungrouped = evaluate(COCOEvaluator(name), truth, outputs)["bbox"]
    by_group = {name: results.pop(name) for name in ("APr", "APc", "APf")}
    np.testing.assert_equal(results, plain)
    np.testing.assert_equal(ungrouped, plain)
    table = json.loads((tmp_path / "per_category_bbox.json").read_text())
    for group in "rf":
        ap = [row["AP"] for row in table if row["group"] == group and row["AP"] is not None]
        assert by_group[f"AP{group}"] == pytest.approx(np.mean(ap), abs=1e-10)
        assert {row["id"] for row in table if row["group"] == group} == {
            category_id for category_id, i in IDS.items() if GROUPS[i] == group
        }
    assert math.isnan(by_group["APc"])
    assert sum(row["instance_count"] for row in table) == len(truth["annotations"])


def test_coco_without_detections(tmp_path, data):
    truth, outputs = data
    nothing = [{"instances": output["instances"][:0]} for output in outputs]
    with registered(
        "coco", tmp_path / "truth.json", truth, thing_dataset_id_to_contiguous_id=IDS
    ) as name:
        results = evaluate(
            COCOEvaluator(name, training_categories=trained_on(GROUPS)), truth, nothing
        )["bbox"]
    assert {"AP", "APr", "APc", "APf"} <= results.keys()
    assert all(math.isnan(value) for value in results.values())


def test_coco_test_set_without_annotations_is_taken(tmp_path, data):
    truth, _ = data
    truth = {key: value for key, value in truth.items() if key != "annotations"}
    with registered("coco", tmp_path / "truth.json", truth) as name:
        assert COCOEvaluator(name, output_dir=tmp_path)._do_evaluation is False


def test_build_evaluator_goes_by_the_type_of_the_data_set(tmp_path, data):
    truth, _ = data
    with registered("own", tmp_path / "truth.json", truth) as name:
        evaluator = build_evaluator(
            name, tmp_path, tasks=["bbox"], training_categories=trained_on("r" * 40)
        )
        assert isinstance(evaluator, LVISEvaluator)
        MetadataCatalog.get(name).__dict__["evaluator_type"] = "coco"
        evaluator = build_evaluator(
            name, tmp_path, tasks=["bbox"], training_categories=trained_on("r" * 40)
        )
        assert isinstance(evaluator, COCOEvaluator)
        with pytest.raises(InputError, match="1 categories for 40 classes"):
            build_evaluator(name, tmp_path, training_categories=trained_on("r"))
    with pytest.raises(InputError, match="'own' is None.*'coco' and 'lvis'"):
        build_evaluator("own", tmp_path)
    MetadataCatalog.remove("own")


def test_groups_and_image_counts_come_from_the_training_data(tmp_path, data):
    truth, outputs = data
    counts = [{"id": category["id"], "image_count": 5} for category in truth["categories"]]
    with (
        registered("train", tmp_path / "t.json", truth, class_image_count=counts),
        registered("val", tmp_path / "v.json", truth, thing_dataset_id_to_contiguous_id=IDS),
    ):
        DatasetCatalog.register("train", lambda: [])
        evaluator = build_evaluator(
            "val", tmp_path, training_datasets="train", frequency_thresholds=(4, 9)
        )
        evaluate(evaluator, truth, outputs)
        DatasetCatalog.remove("train")
    table = json.loads((tmp_path / "per_category_bbox.json").read_text())
    assert {(row["group"], row["image_count"]) for row in table} == {("c", 5)}


def test_interface_is_that_of_detectron2(tmp_path, data):
    """The result keys of Detectron2's class, in its order, and its arguments by position."""
    truth, outputs = data
    truth = {**truth, "categories": make_truth(0)["categories"]}
    with registered("own", tmp_path / "truth.json", truth) as name:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(np, "float", float, raising=False)
            evaluator = Detectron2LVISEvaluator(name, ("bbox",), False, None)
            expected = evaluate(evaluator, truth, outputs)
        results = evaluate(LVISEvaluator(name, ("bbox",), False, None), truth, outputs)
    assert list(results) == list(expected)
    assert list(results["bbox"])[:9] == list(expected["bbox"])
    assert {name: results["bbox"][name] for name in expected["bbox"]} == expected["bbox"]

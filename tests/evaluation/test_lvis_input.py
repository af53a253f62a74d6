import copy
import json
import math

import pytest
from detectron2.data import MetadataCatalog

from eql_d2.evaluation import LVISEvaluator
from eql_d2.exceptions import InputError

from .federated_data import NUM_CATEGORIES, evaluate, registered, without_masks
from .training_categories import trained_on

# Detectron2 converts each mask in a way that numpy 2 warns about.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def test_test_set_without_annotations_writes_predictions_only(tmp_path, truth, outputs):
    images = [{key: image[key] for key in ("id", "height", "width")} for image in truth["images"]]
    test_set = {"images": images, "categories": truth["categories"]}
    with registered("test", tmp_path / "truth.json", test_set) as name:
        assert evaluate(LVISEvaluator(name, output_dir=tmp_path), truth, outputs) == {}
    assert json.loads((tmp_path / "lvis_segm_results.json").read_text())


def test_model_without_detections_gives_nan(tmp_path, truth, outputs, caplog):
    nothing = [{"instances": output["instances"][:0]} for output in without_masks(outputs)]
    with registered("federated", tmp_path / "truth.json", truth) as name:
        results = evaluate(LVISEvaluator(name, fixed_ap=True), truth, nothing)
    assert list(results) == ["bbox"]
    assert len(results["bbox"]) == 17
    assert all(math.isnan(value) for value in results["bbox"].values())
    assert "No detections" in caplog.text


def test_no_image_processed(tmp_path, truth):
    with registered("federated", tmp_path / "truth.json", truth) as name:
        evaluator = LVISEvaluator(name)
        evaluator.reset()
        assert evaluator.evaluate() == {}


def test_detections_that_are_not_finite_are_dropped(tmp_path, truth, outputs, caplog):
    with registered("federated", tmp_path / "truth.json", truth) as name:
        expected = evaluate(LVISEvaluator(name), truth, outputs)
        broken, num_bad = [], 0
        for output in copy.deepcopy(outputs):
            bad = copy.deepcopy(output["instances"][:2])
            bad.scores[:1] = float("nan")
            bad.pred_boxes.tensor[1:, 2] = float("inf")
            num_bad += len(bad)
            broken.append({"instances": type(bad).cat([bad, output["instances"]])})
        assert evaluate(LVISEvaluator(name), truth, broken) == expected
    assert f"Dropped {num_bad} detections" in caplog.text


def damaged(truth: dict) -> dict[str, str]:
    """Files that are no LVIS ground truth, by a word of the message they deserve."""
    no_negatives = [{"id": 1, "not_exhaustive_category_ids": []}]
    return {
        "not valid JSON": json.dumps(truth)[:-100],
        "not LVIS format": json.dumps([]),
        "neg_category_ids": json.dumps({**truth, "images": no_negatives}),
    }


@pytest.mark.parametrize("message", list(damaged({"annotations": []})))
def test_damaged_ground_truth(tmp_path, truth, message):
    with registered("federated", tmp_path / "truth.json", truth) as name:
        (tmp_path / "truth.json").write_text(damaged(truth)[message])
        with pytest.raises(InputError, match=message) as error:
            LVISEvaluator(name)
    assert "truth.json" in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_ground_truth(tmp_path):
    MetadataCatalog.get("absent").set(json_file=str(tmp_path / "absent.json"))
    with pytest.raises(InputError, match="absent.json: No such file"):
        LVISEvaluator("absent")
    MetadataCatalog.remove("absent")


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"engine": "cocoapi"}, "cocoapi"),
        ({"tasks": ["keypoints"]}, "keypoints"),
        ({"max_dets_per_image": 0}, "max_dets_per_image is 0"),
        ({"training_categories": trained_on("r")}, "1 categories for 40 classes"),
    ],
)
def test_wrong_arguments(tmp_path, truth, arguments, message):
    with registered("federated", tmp_path / "truth.json", truth) as name:
        with pytest.raises(InputError, match=message):
            LVISEvaluator(name, **arguments)


def test_predictions_that_do_not_fit_the_data_set(tmp_path, truth, outputs):
    ids = {i + 1: i for i in range(NUM_CATEGORIES - 20)}
    with registered(
        "federated", tmp_path / "truth.json", truth, thing_dataset_id_to_contiguous_id=ids
    ) as name:
        evaluator = LVISEvaluator(name, ["segm"])
        evaluator.reset()
        with pytest.raises(InputError, match="no masks"):
            evaluator.process([{"image_id": 1}], without_masks(outputs)[:1])
        with pytest.raises(InputError, match="data set has 20 classes"):
            evaluator.process([{"image_id": 1}], outputs[:1])
        with pytest.raises(InputError, match="no 'instances'"):
            evaluator.process([{"image_id": 1}], [{"proposals": None}])
        evaluator.reset()
        evaluator.process([{"image_id": 31}], [{"instances": outputs[0]["instances"][:0]}])
        with pytest.raises(InputError, match="image_id 31"):
            evaluator.evaluate()

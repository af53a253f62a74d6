import copy
import json
import logging
import math
import sys
from importlib.metadata import version

import lvis.eval
import numpy as np
import pytest

from eql_d2.evaluation import LVISEvaluator
from eql_d2.evaluation.lvis.engines import choose_engine
from eql_d2.exceptions import InputError

from .federated_data import (
    NUM_CATEGORIES,
    evaluate,
    lvis_api_results,
    lvis_api_rows,
    make_outputs,
    make_truth,
    registered,
    without_masks,
)
from .training_categories import trained_on

# Detectron2 converts each mask in a way that numpy 2 warns about.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

ENGINES = ("hotcoco", "lvis")


def assert_same(results: dict, expected: dict) -> None:
    assert list(results) == list(expected)
    np.testing.assert_array_equal(list(results.values()), list(expected.values()))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.slow
def test_all_numbers_are_those_of_lvis_api(tmp_path, seed):
    truth = make_truth(seed)
    outputs = make_outputs(truth, seed)
    with registered("federated", tmp_path / "truth.json", truth) as name:
        results = [evaluate(LVISEvaluator(name, engine=e), truth, outputs) for e in ENGINES]
    for task in ("bbox", "segm"):
        rows = lvis_api_rows(truth, outputs, task)
        expected = lvis_api_results(tmp_path / "truth.json", rows, task)
        assert len(expected) == 13
        assert all(value > 0 for value in expected.values())
        for result in results:
            assert_same(result[task], expected)


@pytest.mark.parametrize("engine", ENGINES)
def test_max_dets_per_image(tmp_path, truth, outputs, engine):
    with registered("federated", tmp_path / "truth.json", truth) as name:
        evaluator = LVISEvaluator(name, ["bbox"], max_dets_per_image=10, engine=engine)
        results = evaluate(evaluator, truth, outputs)
    rows = lvis_api_rows(truth, outputs, "bbox")
    expected = lvis_api_results(tmp_path / "truth.json", rows, "bbox", max_dets=10)
    assert_same(results["bbox"], {k.replace("@300", "@10"): v for k, v in expected.items()})


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "oddity", [{"iscrowd": 1}, {"ignore": 1}, {"area": 0}, {"area": -1.0}, {"category_id": 99}]
)
@pytest.mark.slow
def test_ground_truth_that_engines_read_differently(tmp_path, truth, outputs, engine, oddity):
    annotations = [
        {**annotation, **oddity} if i % 3 == 0 else annotation
        for i, annotation in enumerate(truth["annotations"])
    ]
    odd = {**truth, "annotations": annotations}
    with registered("federated", tmp_path / "truth.json", odd) as name:
        results = evaluate(LVISEvaluator(name, output_dir=tmp_path, engine=engine), truth, outputs)
    for task in ("bbox", "segm"):
        rows = lvis_api_rows(truth, outputs, task)
        assert_same(results[task], lvis_api_results(tmp_path / "truth.json", rows, task))


@pytest.mark.parametrize("engine", ENGINES)
def test_annotation_id_0_is_a_match_like_any_other(tmp_path, truth, outputs, engine):
    """lvis-api takes it for no match, so the numbers must be those of ids that start at 1."""
    annotations = [{**a, "id": a["id"] - 1} for a in truth["annotations"]]
    from_zero = {**truth, "annotations": annotations}
    with registered("federated", tmp_path / "truth.json", truth) as name:
        expected = evaluate(LVISEvaluator(name), truth, outputs)
    with registered("federated", tmp_path / "from_zero.json", from_zero) as name:
        assert evaluate(LVISEvaluator(name, engine=engine), truth, outputs) == expected


def test_repair_of_lvis_changes_nothing_outside(tmp_path, truth, outputs):
    accumulate = lvis.eval.LVISEval.accumulate
    with registered("federated", tmp_path / "truth.json", truth) as name:
        evaluate(LVISEvaluator(name, engine="lvis"), truth, outputs)
    assert lvis.eval.np is np
    assert lvis.eval.LVISEval.accumulate is accumulate
    assert not hasattr(np, "float")


def test_category_ids_with_gaps(tmp_path, truth, outputs):
    def new(category_id):
        return 7 * category_id + 100

    odd = copy.deepcopy(truth)
    for category in odd["categories"]:
        category["id"] = new(category["id"])
    for annotation in odd["annotations"]:
        annotation["category_id"] = new(annotation["category_id"])
    for image in odd["images"]:
        for key in ("neg_category_ids", "not_exhaustive_category_ids"):
            image[key] = [new(category_id) for category_id in image[key]]
    ids = {new(i + 1): i for i in range(NUM_CATEGORIES)}
    with registered("federated", tmp_path / "truth.json", truth) as name:
        expected = evaluate(LVISEvaluator(name), truth, outputs)
    with registered(
        "gaps", tmp_path / "gaps.json", odd, thing_dataset_id_to_contiguous_id=ids
    ) as name:
        assert evaluate(LVISEvaluator(name), truth, outputs) == expected


def test_category_groups_replace_the_frequency_of_the_file(tmp_path, truth, outputs):
    # Classes 0 to 19 rare, the rest frequent, none common; category ids in another order.
    ids = {NUM_CATEGORIES - i: i for i in range(NUM_CATEGORIES)}
    groups = ["r"] * 20 + ["f"] * 20
    with registered(
        "federated", tmp_path / "truth.json", truth, thing_dataset_id_to_contiguous_id=ids
    ) as name:
        evaluator = LVISEvaluator(name, output_dir=tmp_path, training_categories=trained_on(groups))
        results = evaluate(evaluator, truth, without_masks(outputs))["bbox"]
    table = json.loads((tmp_path / "per_category_bbox.json").read_text())
    for group in "rf":
        ap = [row["AP"] for row in table if row["group"] == group and row["AP"] is not None]
        assert results[f"AP{group}"] == pytest.approx(np.mean(ap), abs=1e-10)
        assert {row["id"] > 20 for row in table if row["group"] == group} == {group == "r"}
    assert math.isnan(results["APc"])


def test_without_frequency_the_groups_are_nan_with_one_warning(tmp_path, truth, outputs, caplog):
    categories = [{"id": c["id"], "name": c["name"]} for c in truth["categories"]]
    with registered("f", tmp_path / "truth.json", {**truth, "categories": categories}) as name:
        for engine in ENGINES:
            caplog.clear()
            results = evaluate(LVISEvaluator(name, engine=engine), truth, outputs)
            assert all(math.isnan(results["bbox"][f"AP{group}"]) for group in "rcf")
            assert results["segm"]["AP"] > 0
            assert len([r for r in caplog.records if r.levelno == logging.WARNING]) == 1


def test_per_category_table(tmp_path, truth, outputs):
    counts = [{"id": i + 1, "image_count": -1} for i in range(NUM_CATEGORIES)]
    truth = copy.deepcopy(truth)
    del truth["categories"][7]["image_count"]
    with registered("f", tmp_path / "truth.json", truth, class_image_count=counts) as name:
        results = evaluate(LVISEvaluator(name, output_dir=tmp_path), truth, outputs)
    for task in ("bbox", "segm"):
        table = json.loads((tmp_path / f"per_category_{task}.json").read_text())
        ap = [row.pop("AP") for row in table]
        assert np.mean([x for x in ap if x is not None]) == pytest.approx(results[task]["AP"])
        occurring = {a["category_id"] for a in truth["annotations"]}
        assert [x is not None for x in ap] == [row["id"] in occurring for row in table]
        assert table[3] == {
            "id": 4,
            "name": "thing 3",
            "group": "r",
            "image_count": 15,
            "instance_count": sum(a["category_id"] == 4 for a in truth["annotations"]),
        }
        assert table[7]["image_count"] == -1  # of the metadata, where the file has none


def test_results_file_is_what_lvis_api_reads(tmp_path, truth, outputs):
    with registered("federated", tmp_path / "truth.json", truth) as name:
        results = evaluate(LVISEvaluator(name, output_dir=tmp_path / "out"), truth, outputs)
    for task, key in (("bbox", "bbox"), ("segm", "segmentation")):
        rows = json.loads((tmp_path / "out" / f"lvis_{task}_results.json").read_text())
        assert all(set(row) == {"image_id", "category_id", "score", key} for row in rows)
        assert_same(results[task], lvis_api_results(tmp_path / "truth.json", rows, task))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "evaluation.json",
        "lvis_bbox_results.json",
        "lvis_segm_results.json",
        "per_category_bbox.json",
        "per_category_segm.json",
    ]


def test_files_of_a_killed_run_are_not_counted(tmp_path, truth, outputs):
    stale = {"image_id": 1, "category_id": 1, "score": 1.0, "bbox": [0, 0, 9, 9]}
    for rank in range(2):  # the killed run had more ranks
        (tmp_path / f"lvis_bbox_rank{rank}.jsonl").write_text(f"{json.dumps([stale])}\n")
    (tmp_path / "lvis_bbox_results.json.tmp").write_text(json.dumps([stale]))
    with registered("federated", tmp_path / "truth.json", truth) as name:
        evaluate(LVISEvaluator(name, output_dir=tmp_path), truth, outputs)
    assert stale not in json.loads((tmp_path / "lvis_bbox_results.json").read_text())


def test_reset_starts_afresh(tmp_path, truth, outputs):
    with registered("federated", tmp_path / "truth.json", truth) as name:
        expected = evaluate(LVISEvaluator(name), truth, outputs)
        evaluator = LVISEvaluator(name, output_dir=tmp_path)
        evaluator.reset()
        evaluator.process([{"image_id": 1}], [outputs[2]])
        for _ in range(2):
            assert evaluate(evaluator, truth, outputs) == expected
        with pytest.raises(RuntimeError, match="reset"):
            evaluator.evaluate()


def test_no_output_dir_leaves_nothing(tmp_path, truth, outputs, monkeypatch):
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    with registered("federated", tmp_path / "truth.json", truth) as name:
        evaluate(LVISEvaluator(name), truth, outputs)
    assert not list((tmp_path / "tmp").iterdir())


def test_log_names_the_engine_and_engines_print_nothing(tmp_path, truth, outputs, caplog, capfd):
    for engine in ENGINES:
        with registered("federated", tmp_path / "truth.json", truth) as name:
            with caplog.at_level(logging.INFO, "eql_d2"):
                evaluate(LVISEvaluator(name, engine=engine), truth, outputs)
        name = f"{engine} {version(engine)}"
        assert f"LVIS box AP by {name}, at most 300 detections an image" in caplog.text
        assert f"LVIS mask AP by {name}, at most 300 detections an image" in caplog.text
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("engine", ENGINES)
def test_fixed_ap_is_lvis_api_on_the_best_of_each_category(
    tmp_path, truth, outputs, engine, monkeypatch
):
    limit = 25
    monkeypatch.setattr("eql_d2.evaluation.lvis.evaluator._FIXED_AP_LIMIT", limit)
    with registered("federated", tmp_path / "truth.json", truth) as name:
        results = evaluate(LVISEvaluator(name, fixed_ap=True, engine=engine), truth, outputs)
    for task in ("bbox", "segm"):
        rows = lvis_api_rows(truth, outputs, task)
        rows = sorted(rows, key=lambda row: row["score"], reverse=True)
        best = [
            row
            for category_id in range(1, NUM_CATEGORIES + 1)
            for row in [r for r in rows if r["category_id"] == category_id][:limit]
        ]
        assert len(best) < len(rows)
        fixed = lvis_api_results(tmp_path / "truth.json", best, task, max_dets=-1)
        plain = lvis_api_results(tmp_path / "truth.json", rows, task)
        for group in ("", "r", "c", "f"):
            assert results[task][f"APFixed{group}"] == fixed[f"AP{group}"]
            assert results[task][f"AP{group}"] == plain[f"AP{group}"]


def test_engine_is_lvis_where_hotcoco_is_not_installed(monkeypatch):
    assert choose_engine(None).name.startswith("hotcoco ")
    monkeypatch.setitem(sys.modules, "hotcoco", None)
    assert choose_engine(None).name.startswith("lvis ")
    with pytest.raises(InputError, match="pip install hotcoco"):
        choose_engine("hotcoco")

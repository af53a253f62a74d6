import inspect
import json
import logging
import math
from pathlib import Path

import numpy as np
import pytest
import torch.distributed as dist
import torch.multiprocessing as mp

from eql_d2 import InputError
from eql_d2.data import group_by_instances
from eql_d2.distributed import end_process_group
from eql_d2.evaluation import OpenImagesEvaluator, build_evaluator
from eql_d2.evaluation.open_images import matching

from .open_images_data import (
    convert,
    images_of,
    random_data,
    registered,
    run,
    slow_average_precision,
    to_instances,
)
from .training_categories import trained_on

A, B, FAR = (0, 0, 20, 20), (40, 0, 60, 20), (70, 70, 90, 90)
CROWD = (0, 40, 50, 90)
IN_CROWD = [(5 * i, 45, 5 * i + 10, 55) for i in range(3)]


def evaluate(tmp_path, boxes, detections, **options):
    """AP50 of class 0, 1, 2 and their mean."""
    arguments = {key: options.pop(key) for key in ("labels", "parents") if key in options}
    options.setdefault("expand_detections", "parents" in arguments)
    path = convert(tmp_path, boxes, **arguments)
    with registered("open", path) as name:
        evaluator = OpenImagesEvaluator(name, output_dir=tmp_path / "out", **options)
        results = run(evaluator, path, detections)["bbox"]
    table = json.loads((tmp_path / "out" / "per_category_bbox.json").read_text())
    return [row["AP"] for row in table], results["AP50"]


@pytest.mark.parametrize(
    "found, expected",
    [
        ([(*A, 0.9), (*B, 0.8)], 100),
        ([(*A, 0.9)], 50),  # one missed
        ([], 0),
        ([(*A, 0.9), (*A, 0.8), (*B, 0.7)], 100 * (1 + 2 / 3) / 2),  # found twice
        ([(*FAR, 0.9), (*A, 0.8)], 25),  # precision 1/2 at recall 1/2
        ([(*A, 0.9), (*B, 0.8), (*FAR, 0.7)], 100),  # nothing is left to be found
        ([(0, 0, 20, 10, 0.9)], 50),  # IoU 0.5 is enough
        ([(0, 0, 20, 9.9, 0.9)], 0),
    ],
)
def test_boxes_by_hand(tmp_path, found, expected):
    boxes = [("i", 0, *A, False), ("i", 0, *B, False)]
    by_class, mean = evaluate(tmp_path, boxes, [("i", 0, *box) for box in found])
    assert by_class == [pytest.approx(expected), None, None]
    assert mean == pytest.approx(expected)


def test_boxes_of_other_images_and_classes_are_not_found(tmp_path):
    boxes = [("i", 0, *A, False), ("j", 1, *B, False)]
    detections = [("j", 0, *A, 0.9), ("i", 0, *B, 0.8), ("j", 1, *B, 0.7), ("j", 2, *B, 0.6)]
    assert evaluate(tmp_path, boxes, detections) == ([0, 100, None], 50)


@pytest.mark.parametrize(
    "found, expected",
    [
        ([(*IN_CROWD[0], 0.9), (*A, 0.8)], 100),
        ([(*IN_CROWD[0], 0.9), (*IN_CROWD[1], 0.8), (*IN_CROWD[2], 0.7), (*A, 0.6)], 100),
        # the one of the highest score counts: before the wrong one, and not after it
        ([(*IN_CROWD[0], 0.9), (*FAR, 0.8), (*IN_CROWD[1], 0.7)], 50),
        ([(*FAR, 0.9), (*IN_CROWD[0], 0.8), (*IN_CROWD[1], 0.7)], 25),
        ([(*A, 0.9)], 50),  # the group is missed
        ([(-5, 40, 5, 50, 0.9), (*A, 0.8)], 100),  # half of it is inside
        ([(-6, 40, 5, 50, 0.9), (*A, 0.8)], 25),  # less than half
    ],
)
def test_group_of_boxes_by_hand(tmp_path, found, expected):
    boxes = [("i", 0, *A, False), ("i", 0, *CROWD, True)]
    _, mean = evaluate(tmp_path, boxes, [("i", 0, *box) for box in found])
    assert mean == pytest.approx(expected)


def test_single_box_inside_of_a_group_goes_first(tmp_path):
    """Its first detection is its own, the second is the group's: no false positive."""
    boxes = [("i", 0, *IN_CROWD[0], False), ("i", 0, *CROWD, True)]
    detections = [("i", 0, *IN_CROWD[0], 0.9), ("i", 0, *IN_CROWD[0], 0.8)]
    assert evaluate(tmp_path, boxes, detections)[1] == 100


PARENTS = {0: 1, 1: 2}


def test_hierarchy_by_hand(tmp_path):
    """Class 2 is above 1 is above 0; one box of 0, one of 1; only the box of 0 is found."""
    boxes, detections = [("i", 0, *A, False), ("i", 1, *B, False)], [("i", 0, *A, 0.9)]

    def by_class(**options):
        return evaluate(tmp_path, boxes, detections, **options)[0]

    assert by_class() == [100, 0, None]
    assert by_class(parents=PARENTS) == [100, 50, 50]
    assert by_class(parents=PARENTS, expand_detections=False) == [100, 0, 0]
    assert by_class(parents=PARENTS, expand_ground_truth=False) == [100, 0, None]
    # the default is the challenge's program: truth expanded, detections as they are
    assert inspect.signature(OpenImagesEvaluator).parameters["expand_detections"].default is False


def test_boxes_that_were_expanded_before_are_not_doubled(tmp_path):
    boxes = [("i", k, *A, False) for k in range(3)]
    detections = [("i", 0, *A, 0.9)]
    assert evaluate(tmp_path, boxes, detections, parents=PARENTS)[0] == [100, 100, 100]


def test_only_verified_classes_are_evaluated(tmp_path):
    boxes, right = [("i", 0, *A, False)], ("i", 0, *A, 0.5)
    wrong = ("j", 0, *A, 0.9)

    def mean(labels):
        return evaluate(tmp_path, boxes, [right, wrong], labels=labels)[1]

    assert mean([("j", 1, 0)]) == 100  # nobody knows whether class 0 is in image j
    assert mean([("j", 0, 0)]) == 50
    assert mean([("j", 0, 1)]) == 50  # verified present, without a box


def test_verified_labels_follow_the_hierarchy(tmp_path):
    boxes = [("i", 0, *A, False)]
    right, wrong = ("i", 0, *A, 0.5), ("j", 0, *A, 0.9)

    def by_class(label, **options):
        options |= {"labels": [label], "parents": PARENTS}
        return evaluate(tmp_path, boxes, [right, wrong], **options)[0]

    assert by_class(("j", 1, 0)) == [50, 50, 100]  # no 1: no 0, but perhaps a 2
    assert by_class(("j", 1, 1)) == [100, 50, 50]  # a 1, and so a 2, but perhaps no 0


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("max_pairs", [1, 2_000_000])
def test_equals_the_slow_evaluation(tmp_path, seed, max_pairs, monkeypatch):
    monkeypatch.setattr(matching, "_MAX_PAIRS", max_pairs)
    boxes, labels, parents, detections = random_data(seed)
    path = convert(tmp_path, boxes, num_classes=10, labels=labels, parents=parents)
    expected = slow_average_precision(boxes, labels, parents, detections, 10)
    with registered("open", path) as name:
        evaluator = OpenImagesEvaluator(name, output_dir=tmp_path, expand_detections=True)
        results = run(evaluator, path, detections)
    table = json.loads((tmp_path / "per_category_bbox.json").read_text())
    by_class = [math.nan if row["AP"] is None else row["AP"] for row in table]
    np.testing.assert_allclose(by_class, expected, atol=1e-9)
    assert results["bbox"]["AP50"] == pytest.approx(np.nanmean(expected))
    assert 5 < results["bbox"]["AP50"] < 95


def test_five_groups_by_training_instances(tmp_path):
    boxes = [("i", k, 10 * k, 0, 10 * k + 9, 9, False) for k in range(9)]
    detections = [("i", k, 10 * k, 0, 10 * k + 9, 9, 0.9) for k in (0, 1, 5)]
    path = convert(tmp_path, boxes, num_classes=10)
    counts = [70, 3, 90, 2, 1, 4, 80, 5, 60, 50]
    with registered("open", path) as name:
        training = trained_on(group_by_instances(counts).groups)
        evaluator = OpenImagesEvaluator(name, output_dir=tmp_path, training_categories=training)
        results = run(evaluator, path, detections)["bbox"]
        with pytest.raises(InputError, match="2 categories for 10 classes"):
            OpenImagesEvaluator(name, training_categories=trained_on("12"))
        own = run(OpenImagesEvaluator(name), path, detections)["bbox"]
    # by counts: 4 3 | 1 5 | 7 9 | 8 0 | 6 2, and class 9 has no box
    assert list(results) == ["AP50", "AP50_1", "AP50_2", "AP50_3", "AP50_4", "AP50_5"]
    assert list(results.values()) == [pytest.approx(100 / 3), 0, 100, 0, 50, 0]
    table = json.loads((tmp_path / "per_category_bbox.json").read_text())
    assert [row["group"] for row in table] == list("4251125343")
    assert [row["instance_count"] for row in table] == [1] * 9 + [0]
    # by the file's own counts: 0 1 | 2 3 | 4 5 | 6 7 | 8
    assert list(own.values())[1:] == [100, 0, 50, 0, 0]


def test_groups_of_500_classes_have_100_each():
    counts = np.random.default_rng(0).permutation(500) + 1
    groups = np.array(group_by_instances(counts).groups)
    for group in range(1, 6):
        found = sorted(counts[groups == str(group)])
        assert found == list(range(100 * group - 99, 100 * group + 1))


def test_group_without_boxes_is_nan_and_file_without_counts_has_no_groups(tmp_path):
    path = convert(tmp_path, [("i", 0, *A, False)])
    with registered("open", path) as name:
        results = run(OpenImagesEvaluator(name), path, [("i", 0, *A, 0.9)])["bbox"]
        assert results["AP50_1"] == 100 and math.isnan(results["AP50_5"])
        data = json.loads(path.read_text())
        for category in data["categories"]:
            del category["instance_count"]
        path.write_text(json.dumps(data))
        results = run(OpenImagesEvaluator(name), path, [("i", 0, *A, 0.9)])
    assert results == {"bbox": {"AP50": 100}}


@pytest.mark.parametrize("output_dir", ["out", None])
def test_two_evaluations_in_a_row_are_independent(tmp_path, output_dir):
    boxes, labels, parents, detections = random_data(0)
    path = convert(tmp_path, boxes, num_classes=10, labels=labels, parents=parents)
    directory = output_dir and tmp_path / output_dir
    with registered("open", path) as name:
        evaluator = OpenImagesEvaluator(name, output_dir=directory)
        first = run(evaluator, path, detections)
        nothing = run(evaluator, path, [])
        assert run(evaluator, path, detections) == first
        with pytest.raises(RuntimeError, match="reset"):
            evaluator.evaluate()
    assert nothing["bbox"]["AP50"] == 0
    if directory:
        names = sorted(path.name for path in directory.iterdir())
        assert names == [
            "evaluation.json",
            "open_images_bbox_results.json",
            "per_category_bbox.json",
        ]
        rows = json.loads((directory / names[1]).read_text())
        assert len(rows) == len(detections)  # not expanded


def test_inputs_that_cannot_be_evaluated(tmp_path, caplog):
    path = convert(tmp_path, [("i", 0, *A, False), ("j", 0, *A, False)])
    with registered("open", path) as name:
        for option in ("expand_ground_truth", "expand_detections"):
            with pytest.raises(InputError, match="no 'hierarchy'"):
                OpenImagesEvaluator(name, **{option: True})
        evaluator = OpenImagesEvaluator(name, output_dir=tmp_path / "out")
        evaluator.reset()
        assert evaluator.evaluate() == {}
        evaluator.reset()
        with pytest.raises(InputError, match="no 'instances'"):
            evaluator.process([{"image_id": 1}], [{"sem_seg": None}])
        evaluator.process([{"image_id": 7}], [{"instances": to_instances([])}])
        with pytest.raises(InputError, match="image_id 7"):
            evaluator.evaluate()
        evaluator.reset()
        evaluator.process([{"image_id": 1}], [{"instances": to_instances([("i", 0, *A, 0.9)])}])
        with caplog.at_level(logging.WARNING):
            assert evaluator.evaluate()["bbox"]["AP50"] == 50
        assert "Only 1 of the 2 images" in caplog.text
        for text, message in [("{", "not valid JSON"), ("{}", "not COCO format")]:
            path.write_text(text)
            with pytest.raises(InputError, match=message):
                OpenImagesEvaluator(name)
        path.unlink()
        with pytest.raises(InputError, match="No such file"):
            OpenImagesEvaluator(name)


def test_build_evaluator_groups_by_the_training_data(tmp_path):
    boxes = [("i", 0, *A, False), ("i", 1, *B, False), ("i", 2, *FAR, False)]
    val = convert(tmp_path / "val", boxes)
    train = convert(tmp_path / "train", [("t", 2, *A, False), ("t", 0, *B, False)] + boxes[2:])
    with registered("own_val", val) as name, registered("own_train", train):
        evaluator = build_evaluator(
            name, tmp_path, training_datasets="own_train", frequency_thresholds=(10, 100)
        )
        assert isinstance(evaluator, OpenImagesEvaluator)
        results = run(evaluator, val, [("i", 1, *B, 0.9), ("i", 2, *FAR, 0.9)])["bbox"]
        # training instances: 1, 0, 2; what training does not show is in no group
        assert [results[f"AP50_{group}"] for group in (1, 2)] == [0, 100]
        assert math.isnan(results["AP50_3"]) and results["AP50"] == pytest.approx(200 / 3)
        table = json.loads((tmp_path / "per_category_bbox.json").read_text())
        assert [row["image_count"] for row in table] == [1, 0, 2]
        # Data that cannot be counted: the groups are those of the evaluated file
        (tmp_path / "broken.json").write_text("{}")
        with registered("broken", tmp_path / "broken.json"):
            evaluator = build_evaluator(name, tmp_path, training_datasets=["broken"])
        assert run(evaluator, val, [("i", 1, *B, 0.9)])["bbox"]["AP50_2"] == 100


def run_rank(rank: int, directory: Path) -> None:
    """Evaluate every other image, twice in one directory."""
    logging.disable(logging.WARNING)
    init = f"file://{directory / 'init'}"
    dist.init_process_group("gloo", init_method=init, rank=rank, world_size=2)
    *_, detections = random_data(0)
    path = directory / "truth.json"
    images = list(images_of(path).items())[rank::2]
    # only the main process may need the ground truth
    with registered("open", path if rank == 0 else directory / "none.json") as name:
        evaluator = OpenImagesEvaluator(name, output_dir=directory / "out")
        for attempt in range(2):
            evaluator.reset()
            for image, image_id in images:
                own = to_instances([d for d in detections if d[0] == image])
                evaluator.process([{"image_id": image_id}], [{"instances": own}])
            results = evaluator.evaluate()
            (directory / f"results_{attempt}_{rank}.json").write_text(json.dumps(results))
    end_process_group()


@pytest.mark.slow
def test_two_ranks_give_what_one_gives(tmp_path):
    boxes, labels, parents, detections = random_data(0)
    path = convert(tmp_path, boxes, num_classes=10, labels=labels, parents=parents)
    mp.spawn(run_rank, (tmp_path,), nprocs=2)
    with registered("open", path) as name:
        expected = run(OpenImagesEvaluator(name), path, detections)
    for attempt in range(2):
        found = [json.loads((tmp_path / f"results_{attempt}_{r}.json").read_text()) for r in (0, 1)]
        np.testing.assert_equal(found, [expected, {}])
    assert len(list((tmp_path / "out").iterdir())) == 3

import json
import logging
import math

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from detectron2.data import MetadataCatalog

from eql_d2 import InputError
from eql_d2.distributed import end_process_group
from eql_d2.evaluation import ClassificationEvaluator, build_evaluator
from eql_d2.evaluation.classification_evaluation import rank_of_label
from eql_d2.evaluation.example_images import read_example_images

from .training_categories import trained_on

NUM_CLASSES = 7
# Class 6 has no test images.
LABELS = [0, 0, 0, 0, 1, 1, 2, 3, 3, 4, 5]
# For each image: rank of its label. Per class: 3/4, 1/2, 1, 0, 1, 0
RANKS = [0, 0, 0, 1, 0, 4, 0, 5, 6, 0, 2]
GROUPS = ["f", "f", "c", "c", "r", "r", "r"]


@pytest.fixture(autouse=True)
def dataset():
    MetadataCatalog.get("seven").set(
        thing_classes=[f"class{k}" for k in range(NUM_CLASSES)], evaluator_type="classification"
    )
    yield "seven"
    MetadataCatalog.remove("seven")


def predictions():
    outputs = []
    for label, rank in zip(LABELS, RANKS):
        scores = torch.linspace(0.1, 0.7, NUM_CLASSES).flip(0).tolist()
        own = scores.pop(rank)
        scores.insert(label, own)
        outputs.append({"scores": torch.tensor(scores)})
    images = [
        # The first by name comes last.
        {"label": label, "image_id": i, "file_name": f"{'zyxwvutsrqp'[i]}.png"}
        for i, label in enumerate(LABELS)
    ]
    return images, outputs


def evaluate(inputs, outputs, **kwargs):
    evaluator = ClassificationEvaluator("seven", **kwargs)
    evaluator.reset()
    evaluator.process(inputs, outputs)
    return evaluator.evaluate()


def test_accuracies_by_hand(tmp_path):
    results = evaluate(
        *predictions(),
        output_dir=str(tmp_path / "new"),
        training_categories=trained_on(GROUPS, [900, 300, 100, 20, 19, 3, 1]),
    )
    assert list(results) == ["classification"]
    assert results["classification"] == pytest.approx(
        {
            "top1": 100 * 6 / 11,
            "top5": 100 * 9 / 11,
            "many": 100 * (3 / 4 + 1 / 2) / 2,
            "medium": 50.0,
            "few": 50.0,
            "mean_class": 100 * (3 / 4 + 1 / 2 + 1 + 0 + 1 + 0) / 6,
        }
    )
    table = json.loads((tmp_path / "new/per_category_classification.json").read_text())
    assert table[0] == {
        "id": 0,
        "name": "class0",
        "group": "f",
        "image_count": 900,
        "instance_count": 4,
        "accuracy": 75.0,
    }
    assert table[6]["accuracy"] is None and table[6]["instance_count"] == 0


def test_the_first_image_of_each_class_is_left_with_its_best_classes(tmp_path):
    inputs, outputs = predictions()
    outputs[5]["scores"][:] = math.nan
    evaluate(inputs, outputs, output_dir=str(tmp_path))
    chosen, images = read_example_images(tmp_path / "examples_classification.json")
    assert chosen == {0: "w.png", 1: "u.png", 2: "t.png", 3: "r.png", 4: "q.png", 5: "p.png"}
    assert images.keys() == set(chosen.values())
    best = images["w.png"]["best"]
    assert [index for index, _ in best] == [1, 0, 2, 3, 4]  # the label has the second rank
    assert [score for _, score in best] == pytest.approx([0.7, 0.6, 0.5, 0.4, 0.3])
    assert images["u.png"]["best"] == []  # scores that are not numbers
    (tmp_path / "examples_classification.json").write_text('{"categories": [{}]}')
    with pytest.raises(InputError, match="is damaged: evaluate again"):
        read_example_images(tmp_path / "examples_classification.json")


def test_group_without_test_images_is_nan_and_no_error():
    groups = ["f"] * 6 + ["r"]
    results = evaluate(*predictions(), training_categories=trained_on(groups))["classification"]
    assert math.isnan(results["few"]) and math.isnan(results["medium"])
    assert results["many"] == results["mean_class"]


def test_without_training_counts_there_are_no_groups_but_accuracy():
    evaluator = build_evaluator("seven", None, training_datasets=["imagenet_lt_missing"])
    evaluator.process(*predictions())
    results = evaluator.evaluate()["classification"]
    assert set(results) == {"top1", "top5", "mean_class"}


def test_top5_of_less_than_five_classes_counts_all_of_them():
    MetadataCatalog.get("three").thing_classes = ["a", "b", "c"]
    evaluator = ClassificationEvaluator("three")
    nan = torch.full((3,), math.nan)
    outputs = [{"scores": torch.tensor([0.5, 0.3, 0.2])}, {"scores": nan}]
    evaluator.process([{"label": 2}, {"label": 0}], outputs)
    results = evaluator.evaluate()["classification"]
    assert (results["top1"], results["top5"]) == (0.0, 50.0)


def test_scores_that_are_not_numbers_are_wrong_and_counted(caplog):
    inputs, outputs = predictions()
    outputs[0]["scores"][5] = math.nan
    with caplog.at_level(logging.WARNING, "eql_d2"):
        results = evaluate(inputs, outputs)
    assert results["classification"]["top1"] == pytest.approx(100 * 5 / 11)
    assert "1 of 11 images have scores that are not numbers" in caplog.text


def test_a_model_that_has_not_learnt_is_not_right_everywhere():
    """Equal scores: one class is predicted, not each label."""
    inputs, _ = predictions()
    results = evaluate(inputs, [{"scores": torch.zeros(NUM_CLASSES)}] * len(inputs))
    assert results["classification"]["top1"] == pytest.approx(100 * 4 / 11)
    assert [rank_of_label(torch.tensor([0.2, 0.5, 0.5]), label) for label in range(3)] == [2, 0, 1]


def test_reset_forgets():
    inputs, outputs = predictions()
    evaluator = ClassificationEvaluator("seven")
    evaluator.process(inputs[7:8], outputs[7:8])
    evaluator.reset()
    assert evaluator.evaluate() == {}
    evaluator.process(inputs[:1], outputs[:1])
    assert evaluator.evaluate()["classification"]["top1"] == 100


def test_bad_input_gets_one_line():
    inputs, outputs = predictions()
    with pytest.raises(InputError, match="image 'a.png' has no label"):
        evaluate([{"file_name": "a.png"}], outputs[:1])
    with pytest.raises(InputError, match=r"shape \(3,\) for a data set of 7 classes"):
        evaluate(inputs[:1], [{"scores": torch.zeros(3)}])
    with pytest.raises(InputError, match="training data have 2 categories for 7 classes"):
        ClassificationEvaluator("seven", training_categories=trained_on("rf"))


def run_rank(rank, directory):
    init = f"file://{directory / 'init'}"
    dist.init_process_group("gloo", init_method=init, rank=rank, world_size=2)
    MetadataCatalog.get("seven").thing_classes = [f"class{k}" for k in range(NUM_CLASSES)]
    inputs, outputs = predictions()
    outputs[0]["scores"][5] = math.nan
    share = slice(0, 3) if rank == 0 else slice(3, 11)
    output_dir = str(directory / f"out{rank}")
    results = evaluate(
        inputs[share],
        outputs[share],
        output_dir=output_dir,
        training_categories=trained_on(GROUPS),
    )
    (directory / f"{rank}.json").write_text(json.dumps(results))
    end_process_group()


@pytest.mark.slow
def test_two_ranks_give_what_one_gives(tmp_path):
    mp.spawn(run_rank, (tmp_path,), nprocs=2)
    inputs, outputs = predictions()
    outputs[0]["scores"][5] = math.nan
    expected = evaluate(
        inputs,
        outputs,
        output_dir=str(tmp_path / "one"),
        training_categories=trained_on(GROUPS),
    )
    assert json.loads((tmp_path / "0.json").read_text()) == expected
    assert json.loads((tmp_path / "1.json").read_text()) == {}
    for name in ("per_category_classification.json", "examples_classification.json"):
        found, expected = (json.loads((tmp_path / f / name).read_text()) for f in ("out0", "one"))
        assert found == expected
    assert not (tmp_path / "out1").exists()

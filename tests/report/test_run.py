"""Whatever a training has left is read; what is missing or damaged becomes one clear line."""

import json

import pytest
import yaml

from eql_d2 import InputError
from eql_d2.report.facts import run_facts
from eql_d2.report.run import flatten, group_names, load_run

from .synthetic_runs import LOSS, make_run, write_lazy_config


@pytest.fixture
def folder(tmp_path):
    return make_run(tmp_path / "run")


def test_all_parts_of_a_run(folder):
    run = load_run(folder)
    assert run.problems == [] and run.name == "run" and run.iterations == 400
    assert run.record.losses[LOSS].ratio.shape == (4, 30)
    assert run.metrics == {f"bbox/AP{group}": 20 for group in ("", "r", "c", "f")}
    assert [e["evaluator"] for e in run.evaluations] == ["LVISEvaluator (an engine 1.2)"]
    assert len(run.tables["bbox"]) == 30 and run.config["MODEL"]["EQL"]["LOSS"] == "SoftmaxCE"


def test_groups_are_named_by_the_results_and_before_there_are_any_by_the_model(folder):
    assert group_names(load_run(folder))["r"] == "rare"
    (folder / "metrics.json").unlink()
    table_path(folder).unlink()
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["MODEL"]["META_ARCHITECTURE"] = "ImageClassifier"
    (folder / "config.yaml").write_text(yaml.dump(config))
    assert group_names(load_run(folder))["r"] == "few"
    lazy = {"model": {"_target_": "detectron2.modeling.SemanticSegmentor"}}
    (folder / "config.yaml").write_text(yaml.dump(lazy))
    assert group_names(load_run(folder))["r"] == "tail"
    assert group_names(load_run(folder), "my_val/classification")["f"] == "many"


def test_the_last_evaluation_counts(folder):
    with open(folder / "metrics.json", "a") as file:
        file.write('{"iteration": 899, "total_loss": 0.5}\n{"bbox/AP": 25, "bbox/APr": NaN}\n')
    run = load_run(folder)
    assert run.metrics["bbox/AP"] == 25 and run.iterations == 900


def test_iterations_of_a_schedule_in_epochs_are_of_a_total_that_is_not_known(folder):
    assert ["Iterations", "400 of 400"] in run_facts([load_run(folder)])[1]
    file = folder / "config.yaml"
    file.write_text(file.read_text().replace("EPOCHS: 0", "EPOCHS: 24"))
    assert ["Iterations", "400"] in run_facts([load_run(folder)])[1]


def test_several_test_sets_are_told_apart(folder):
    other = folder / "inference" / "other"
    other.mkdir()
    table = (folder / "inference" / "my_val" / "per_category_bbox.json").read_text()
    (other / "per_category_bbox.json").write_text(table)
    assert list(load_run(folder).tables) == ["my_val/bbox", "other/bbox"]


def test_a_lazy_config_is_read_without_making_objects(folder):
    write_lazy_config(folder)
    with open(folder / "config.yaml", "a") as file:
        file.write(f"evil: !!python/object/apply:os.mkdir ['{folder / 'made'}']\n")
    run = load_run(folder)
    settings = dict(flatten(run.config))
    assert settings["train.range"] == [1, 2]
    assert settings["model.loss_cls._target_"] == "eql_d2.losses.EQLv2"
    assert run.problems == [] and not (folder / "made").exists()


def cut(path, size):
    path.write_bytes(path.read_bytes()[:size])


def table_path(folder):
    return folder / "inference" / "my_val" / "per_category_bbox.json"


# What happens to a run, and what the line about it says
DAMAGES = {
    "no record": (
        lambda folder: (folder / "gradient_record.json").unlink(),
        "has no gradient_record.json",
    ),
    "sidecar cut": (lambda f: cut(f / "gradient_record.json", 100), "is damaged"),
    "no rows": (lambda f: cut(f / "gradient_record.dat", 0), "no complete row"),
    "half a row": (lambda f: cut(f / "gradient_record.dat", -50), "not complete after"),
    "a damaged row": (
        lambda f: (f / "gradient_record.dat").open("r+b").write(b"x" * 9),
        "first row is damaged",
    ),
    "counts of text": (
        lambda f: (f / "gradient_record.json").write_text(
            (f / "gradient_record.json")
            .read_text()
            .replace('"image_count": ', '"image_count": "')
            .replace(', "instance_count"', '", "instance_count"')
        ),
        "gradient_record.json is damaged",
    ),
    "no metrics": (lambda f: (f / "metrics.json").unlink(), "no results of an evaluation"),
    "metrics cut": (lambda f: cut(f / "metrics.json", -5), "line 2 is damaged or not complete"),
    "text for an iteration": (
        lambda f: (f / "metrics.json").open("a").write('{"iteration": "9", "total_loss": 1.0}\n'),
        "line 3 is damaged or not complete (1 such in all): left out",
    ),
    "a list for a group": (
        lambda f: (f / "gradient_record.json").write_text(
            (f / "gradient_record.json").read_text().replace('"group": "f"', '"group": []')
        ),
        "gradient_record.json is damaged",
    ),
    "a number for a rule": (
        lambda f: (f / "inference/my_val/evaluation.json").write_text(
            json.dumps(
                json.loads((f / "inference/my_val/evaluation.json").read_text())
                | {"groups": {"rule": 7}}
            )
        ),
        "evaluation.json is damaged",
    ),
    "no evaluation": (lambda f: table_path(f).unlink(), "no per_category_*.json"),
    "table cut": (lambda f: cut(table_path(f), -9), "is damaged: evaluate again"),
    "table of text": (lambda f: table_path(f).write_text('[{"name": 1, "AP": "x"}]'), "is damaged"),
    "another number of classes": (
        lambda f: table_path(f).write_text(json.dumps(json.loads(table_path(f).read_text())[1:])),
        "the gradient record is of 30 categories, the evaluation of",
    ),
    "evaluation cut": (
        lambda f: cut(f / "inference/my_val/evaluation.json", -9),
        "evaluation.json is not valid JSON",
    ),
    "no config": (lambda f: (f / "config.yaml").unlink(), "settings of the training are not known"),
    "config cut": (lambda f: (f / "config.yaml").write_text("a: [1"), "is not valid YAML in line"),
    "config of text": (lambda f: (f / "config.yaml").write_text("text"), "holds no settings"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_missing_or_damaged_part_is_one_line(damage, folder):
    spoil, line = DAMAGES[damage]
    spoil(folder)
    problems = load_run(folder).problems
    assert any(line in problem for problem in problems), problems
    assert all("\n" not in problem for problem in problems)
    assert len(problems) == (2 if damage == "metrics cut" else 1)  # there: nor is there a result


def test_a_folder_without_anything_of_a_run_is_refused(tmp_path):
    with pytest.raises(InputError, match="is not a folder"):
        load_run(tmp_path / "missing")
    with pytest.raises(InputError, match="give the OUTPUT_DIR of a training"):
        load_run(tmp_path)

"""A study with the real ``train_net.py``, killed in the middle."""

import json
import subprocess
import sys

import pytest
import torch
import yaml

from eql_d2.study.plan import read_study
from eql_d2.study.results import STEP_SECONDS, read_outcomes
from eql_d2.study.runner import run_study

from .conftest import ROOT
from .test_processes import is_alive, wait_for


@pytest.fixture
def write_study(tiny_cfg, data, tmp_path):
    """Writes a STUDY.yaml of a training and an evaluation of the tiny detector."""
    options = [word for entry in tiny_cfg.DATASETS.JSON for word in ("--dataset", *entry)]
    tiny_cfg.DATASETS.JSON = ()
    (tmp_path / "tiny.yaml").write_text(tiny_cfg.dump())

    def write(name, seeds):
        runs = {"a": {}, "few": {"weights_of": "a", "overrides": {"TEST.DETECTIONS_PER_IMAGE": 2}}}
        content = {
            "output": str(tmp_path / name),
            "seeds": seeds,
            "data": {"options": options},
            "config": str(tmp_path / "tiny.yaml"),
            "overrides": {
                "MODEL.EQL.LOSS": "SoftmaxCE",
                "MODEL.EQL.MONITOR": True,
                "MODEL.ROI_HEADS.SCORE_THRESH_TEST": 0.0,  # without any detection AP is nan
            },
            "runs": runs,
        }
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.dump(content))
        return path

    return write


def children_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]


def numbers_of(study, seed):
    outcomes = [outcome for outcome in read_outcomes(study) if outcome.trial.seed == seed]
    return {o.trial.run: {**o.metrics, STEP_SECONDS: None} for o in outcomes if not o.problem}


def same_weights(*folders):
    one, two = (torch.load(folder / "model_final.pth")["model"] for folder in folders)
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


def detections(folder):
    return json.loads((folder / "inference/tiny_val/lvis_bbox_results.json").read_text())


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends the children of the killed")
def test_killed_in_the_middle_it_goes_on_to_the_same_numbers(write_study, tmp_path):
    path = write_study("killed", [1, 2])
    study = read_study(path)
    command = [sys.executable, "-W", "ignore", "-m", "eql_d2.study", str(path)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    folder = study.trials[2].folder  # of the second seed's training
    wait_for((folder / "gradient_record.json").exists)
    trainings = children_of(process.pid)
    process.kill()
    process.wait()
    wait_for(lambda: not any(map(is_alive, trainings)))
    assert len(trainings) == 1 and not (folder / "run.json").exists()

    finished = [trial.folder / "run.json" for trial in study.trials[:2]]
    before = [(file.stat().st_ino, file.stat().st_mtime_ns) for file in finished]
    run_study(study)
    assert [(file.stat().st_ino, file.stat().st_mtime_ns) for file in finished] == before

    whole = read_study(write_study("whole", [2]))
    run_study(whole)
    numbers = numbers_of(whole, 2)
    assert numbers_of(study, 2) == numbers
    assert {"bbox/AP", "segm/APr", "gradient_ratio/rare"} <= numbers["a"].keys()
    assert {"bbox/AP", "segm/APr"} <= numbers["few"].keys()
    trained = whole.output / "a/seed2"
    assert same_weights(study.output / "a/seed2", trained)
    assert not same_weights(study.output / "a/seed1", trained)
    assert len(detections(whole.output / "few/seed2")) <= 2 * 8 < len(detections(trained))

"""Results of files that have changed since are not taken for those of the files as they are."""

import json
import shutil

import pytest

from eql_d2 import InputError
from eql_d2.study.plan import make_study
from eql_d2.study.runner import run_study

pytestmark = pytest.mark.usefixtures("fake")
DATA = """\
VERSION: 2
DATASETS:
  TRAIN: [boxes, photos, maps]
  TEST: [boxes]
  JSON: [[boxes, train.json, .], [other, other.json, .]]
  CLASS_FOLDERS: [[photos, photos]]
  MASK_FOLDERS: [[maps, images, labels, classes.txt]]
MODEL: {WEIGHTS: "net.pth?matching_heuristics=True"}
"""
FILES = (
    *("train.json", "other.json", "photos/cat/1.png", "images/1.png", "labels/1.png"),
    *("classes.txt", "net.pth"),
)


@pytest.fixture
def finished(content, tmp_path, monkeypatch):
    """A study of two trials that are finished."""
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("first")
    (tmp_path / "config.yaml").write_text(DATA)
    monkeypatch.chdir(tmp_path)
    runs = {"a": {}, "scores": {"weights_of": "a", "config": "config.yaml"}}
    study = make_study({**content, "seeds": [1], "jobs": 1, "runs": runs}, "toy")
    run_study(study)
    return study


@pytest.mark.parametrize(
    "name, text, named",
    [
        ("train.json", "other", "train.json"),
        ("labels/1.png", "other", "labels"),
        ("classes.txt", "other", "classes.txt"),
        ("net.pth", "other", "net.pth"),
        ("photos/dog/2.png", "more", "photos"),
    ],
)
def test_data_that_changed_since_are_refused_in_one_line(finished, tmp_path, name, text, named):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=f"^a/seed1 began before .*/{named} was changed: put") as e:
        run_study(finished)
    assert "\n" not in str(e.value) and str(finished.output / "a") in str(e.value)


def test_what_decides_nothing_may_change_and_what_is_gone_is_not_compared(finished, tmp_path):
    for name in ("other.json", "images/1.png"):
        (tmp_path / name).write_text("other")
    (tmp_path / "train.json").unlink()
    run_study(finished)
    assert (finished.output / "starts").read_text().split() == ["a/seed1", "scores/seed1"]
    noted = [json.loads((t.folder / "run.json").read_text())["inputs"] for t in finished.trials]
    weights = str(tmp_path / "net.pth")
    assert weights in noted[0] and noted[1] == {k: noted[0][k] for k in noted[0] if k != weights}


def test_data_that_change_while_a_study_runs_are_noticed_at_its_end(finished, tmp_path):
    shutil.rmtree(finished.output / "scores")
    command = finished.trials[1].command
    changes = ("-c", f"open({str(tmp_path / 'train.json')!r}, 'w')")
    object.__setattr__(finished.trials[1], "command", (command[0], *changes))
    with pytest.raises(InputError, match="^a/seed1 began before .*train.json was changed"):
        run_study(finished)

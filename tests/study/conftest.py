"""Studies that take no time: their runs stand in for trainings."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from eql_d2.study import plan

ROOT = Path(__file__).parents[2]
CONFIG = "VERSION: 2\nDATASETS: {TRAIN: [x], TEST: [x], JSON: [[x, x.json, .]]}\n"
FAKE = Path(__file__).with_name("fake_train_net.py")


@pytest.fixture
def content(tmp_path):
    """Content of a STUDY.yaml whose config has data alone."""
    (tmp_path / "config.yaml").write_text(CONFIG)
    return {
        "output": str(tmp_path / "output"),
        "jobs": 2,
        "seeds": [1, 2, 3],
        "config": str(tmp_path / "config.yaml"),
        "overrides": {"SOLVER.MAX_ITER": 2},
        "runs": {"a": {}, "b": {"overrides": {"SOLVER.BASE_LR": 0.5}}},
    }


@pytest.fixture
def fake(monkeypatch):
    """Trials run the stand-in for ``train_net.py``."""
    monkeypatch.setattr(plan, "TRAIN_NET", (str(FAKE),))


@pytest.fixture
def start_fake_study(content, tmp_path):
    """Starts ``python -m eql_d2.study`` on the content, whose trials run the stand-in."""

    def start():
        path = tmp_path / "study.yaml"
        path.write_text(yaml.dump(content))
        code = (
            "import sys; from eql_d2.study import __main__, plan; "
            f"plan.TRAIN_NET = ({str(FAKE)!r},); sys.argv = ['study', {str(path)!r}]; "
            "__main__.main()"
        )
        command = [sys.executable, "-W", "ignore", "-c", code]
        return subprocess.Popen(
            command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    return start

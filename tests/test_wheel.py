"""The wheel, as it is installed: what is in it, and a training that needs nothing of a clone."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from eql_d2 import __version__

ROOT = Path(__file__).parents[1]
PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
QUICK = "quick_schedules/mask_rcnn_R_18_FPN_instant_eqlv2"
SDIST = "from setuptools import build_meta; build_meta.build_sdist('.')"
# The installed command trains a config of the wheel, where nothing is installed that it can do
# without.
TRAIN = f"""
import runpy, sys
sys.modules |= dict.fromkeys(("cv2", "jinja2", "lvis", "matplotlib", "timm"))
from eql_d2 import model_zoo
assert model_zoo.get_config("{QUICK}.yaml").MODEL.EQL.LOSS == "EQLv2"
assert model_zoo.get_config("{QUICK}.py").train.eql
script, *words = sys.argv[1:]
sys.argv = [script, "train", "--config-file", model_zoo.get_config_file("{QUICK}.yaml"), *words]
runpy.run_path(script, run_name="__main__")
"""


def run(*command, cwd=None, path=""):
    """Standard output and error of a process that does not see the clone."""
    environment = {**os.environ, "PYTHONWARNINGS": "ignore", "PYTHONPATH": str(path)}
    done = subprocess.run(
        [*map(str, command)], cwd=cwd, text=True, capture_output=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def build(source, output):
    run(*PIP, "wheel", "--no-deps", "--no-build-isolation", "-w", output, source)
    return output / f"eql_d2-{__version__}-py3-none-any.whl"


def contents(wheel):
    """Checksum of each file."""
    with zipfile.ZipFile(wheel) as archive:
        return {member.filename: member.CRC for member in archive.infolist()}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """What git has, but for most tests: nothing of an earlier build."""
    folder = tmp_path_factory.mktemp("source")
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("eql_d2", "configs", "docs", "tests/study"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, folder)
    return folder


@pytest.fixture(scope="module")
def wheel(source, tmp_path_factory):
    return build(source, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    folder = tmp_path_factory.mktemp("installed")
    run(*PIP, "install", "--no-deps", "--target", folder, wheel)
    return folder


def test_a_wheel_has_the_package_and_all_configs_and_nothing_else(wheel):
    def found(folder, *patterns):
        paths = [path for pattern in patterns for path in (ROOT / folder).rglob(pattern)]
        return {path.relative_to(ROOT / folder).as_posix() for path in paths}

    package = found("eql_d2", "*.py", "templates/*", "static/*")
    configs = found("configs", "*.yaml", "*.py")
    assert len(package) > 200 and len(configs) > 200
    expected = {f"eql_d2/{name}" for name in package} | {"eql_d2_cli.py"}
    expected |= {f"eql_d2/model_zoo/configs/{name}" for name in configs}
    of_pip = f"eql_d2-{__version__}.dist-info/"
    assert {name for name in contents(wheel) if not name.startswith(of_pip)} == expected


def test_a_source_distribution_gives_the_same_wheel(source, wheel, tmp_path):
    run(sys.executable, "-c", SDIST, cwd=source)
    from_sdist = build(source / f"eql_d2-{__version__}.tar.gz", tmp_path)
    assert contents(from_sdist) == contents(wheel)


def test_help_and_version_do_without_pytorch(installed):
    code = "import sys; sys.modules['torch'] = None; import eql_d2_cli; eql_d2_cli.main()"
    for option, printed in (("--version", f"eql_d2 {__version__}\n"), ("--help", "usage: eql-d2")):
        assert run(sys.executable, "-c", code, option, path=installed).startswith(printed)


@pytest.mark.slow
def test_the_installed_command_trains_a_config_of_the_wheel(installed, data):
    words = []
    for split in ("train", "val"):
        words += ["--dataset", f"my_{split}", data / f"{split}.json", data / split]
    words += ["DATASETS.TRAIN", "('my_train',)", "DATASETS.TEST", "('my_val',)"]
    words += ["MODEL.ROI_HEADS.NUM_CLASSES", "5", "SOLVER.MAX_ITER", "2", "MODEL.DEVICE", "cpu"]
    words += ["INPUT.MIN_SIZE_TRAIN", "(64,)", "INPUT.MIN_SIZE_TEST", "64", "MODEL.WEIGHTS", ""]
    words += ["DATALOADER.NUM_WORKERS", "0"]
    script = installed / "bin/eql-d2"
    log = run(sys.executable, "-c", TRAIN, script, *words, cwd=data, path=installed)
    assert f"config_file={installed / 'eql_d2/model_zoo/configs' / QUICK}.yaml" in log
    results = [json.loads(line) for line in (data / "output/metrics.json").open()][-1]
    assert results["iteration"] == 2 and {"bbox/AP", "segm/APr"} <= set(results)
    assert "No report of this training" in log and "pip install opencv-python-headless" in log

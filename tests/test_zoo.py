"""Every config runs: here one for each data set, and what a run of the zoo is; the rest by
``make zoo``."""

import ast
import json
import subprocess
import sys

import pytest
from detectron2.config import LazyConfig

from tests.config_twins import TWINS
from tests.zoo import overrides
from tests.zoo.configs import FOLDER, ROOT, leaves, name_of
from tests.zoo.overrides import arguments
from tests.zoo.runner import check

# The smallest of each data set, of both kinds of configs
SAMPLE = [
    "AAAI2023-Classification/R_18_100e_softmax_eql.py",
    "COCO-Detection/yolox_ip_s_qfl.yaml",
    "ADE20K-Segmentation/semantic_fpn_R_50_160k_softmax_eql.py",
    "ImageNetLT-Classification/R_50_90e_softmax_eql.yaml",
    "LVISv0.5-InstanceSegmentation/mask_rcnn_R_50_FPN_1x_eql.yaml",
    "LVISv1-Detection/improved_baseline_R_50_FPN_2x_efl.yaml",
    "OpenImages-Detection/faster_rcnn_R_50_FPN_180k_eqlv2.py",
    "PlacesLT-Classification/R_152_30e_softmax_eql.yaml",
    "iNaturalist18-Classification/R_50_90e_softmax_eql.py",
]


@pytest.mark.slow
def test_a_config_of_each_data_set_runs_and_a_wrong_one_is_told(tmp_path):
    wrong = tmp_path / "wrong.yaml"
    base = FOLDER / "iNaturalist18-Classification/Base-iNaturalist18.yaml"
    wrong.write_text(f'_BASE_: "{base}"\nMODEL: {{EQL: {{LOSS: "Focal"}}}}\n')
    command = [sys.executable, "-W", "ignore", "-m", "tests.zoo", "--logs", str(tmp_path / "logs")]
    command += [*(str(FOLDER / name) for name in SAMPLE), str(wrong)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert f"{len(SAMPLE) + 1} configs, 1 failed" in done.stdout, done.stdout + done.stderr
    table = done.stdout.split("result")[-1].splitlines()
    (line,) = (line for line in table if "wrong.yaml" in line)
    assert "train_net.py: error: MODEL.EQL.LOSS is 'Focal'" in line
    assert done.returncode == 1
    (log,) = (tmp_path / "logs").iterdir()  # of the one that failed
    assert "Focal" in log.read_text()


def test_the_zoo_has_every_leaf_of_its_folders():
    found = {name_of(path) for path in leaves()}
    assert set(SAMPLE) <= found
    no_zoo = {"quick_schedules", "Demo"}
    for path in TWINS:
        names = {name_of(path), name_of(path.with_suffix(".py"))}
        assert names <= found or path.parent.name in no_zoo
    folders = {path.name for path in FOLDER.iterdir() if path.is_dir()}
    assert folders - {name.split("/")[0] for name in found} == no_zoo | {"Study", "common"}


def test_yaml_overrides(tmp_path, monkeypatch):
    monkeypatch.setattr(overrides, "make_weights", lambda name, folder: name.endswith("R-50.pkl"))

    def of(name):
        _, config, *words = arguments(FOLDER / name, tmp_path / "output", tmp_path)
        assert config == str(FOLDER / name)
        return dict(zip(words[::2], words[1::2], strict=True))

    steps = of("LVISv1-Detection/retinanet_R_50_FPN_1x_efl.yaml")
    assert steps["SOLVER.MAX_ITER"] == "2" and "SOLVER.EPOCHS" not in steps
    assert "MODEL.WEIGHTS" not in steps and not [key for key in steps if key.endswith("NORM")]
    epochs = of("LVISv1-Detection/improved_baseline_R_50_FPN_2x_efl.yaml")
    assert epochs["SOLVER.EPOCHS"] == "2" and epochs["SOLVER.IMS_PER_BATCH"] == "4"
    assert "SOLVER.MAX_ITER" not in epochs and epochs["MODEL.WEIGHTS"] == ""
    norms = of("ADE20K-Segmentation/deeplab_v3plus_R_50_160k_softmax.yaml")
    assert norms["MODEL.RESNETS.NORM"] == norms["MODEL.SEM_SEG_HEAD.NORM"] == "BN"


def test_lazy_overrides_are_where_the_config_has_what_they_set(tmp_path):
    def of(name):
        words = arguments(FOLDER / name, tmp_path / "output", tmp_path)[2:]
        return dict(word.split("=", 1) for word in words)

    found = of("LVISv1-InstanceSegmentation/cascade_mask_rcnn_Swin_B_50e_eqlv2.py")
    assert found["train.init_checkpoint"] == ""
    assert found["dataloader.train.mapper.augmentations.1.target_height"] == "64"
    assert found["model.backbone.square_pad"] == "96"
    assert found["model.roi_heads.box_predictors.2.test_topk_per_image"] == "20"
    found = of("ImageNetLT-Classification/R_50_90e_softmax.py")
    assert found["dataloader.test.mapper.transform.transforms.1.size"] == "32"
    assert not [key for key in found if key.startswith("model.")]
    assert found["train.init_checkpoint"] == ""
    found = of("ADE20K-Segmentation/deeplab_v3plus_R_50_160k_softmax.py")
    assert found["model.sem_seg_head.norm"] == found["model.backbone.stages.3.norm"] == "BN"


METRICS = {"iteration": 1, "total_loss": 2.0}


@pytest.mark.parametrize(
    ("metrics", "model", "ap", "message"),
    [
        (METRICS, True, 0.0, None),
        (METRICS | {"iteration": 0}, True, 0.0, "losses by iteration are {0: 2.0}"),
        (METRICS | {"total_loss": float("nan")}, True, 0.0, "losses by iteration are {1: nan}"),
        (METRICS, False, 0.0, "no model_final.pth"),
        (METRICS, True, None, "no evaluation"),
        (METRICS, True, float("nan"), "AP is nan: nothing was predicted"),
    ],
)
def test_a_run_that_ends_well_is_checked(tmp_path, metrics, model, ap, message):
    (tmp_path / "metrics.json").write_text(json.dumps(metrics) + "\n")
    if model:
        (tmp_path / "model_final.pth").touch()
    if ap is not None:
        (tmp_path / "evaluation.json").write_text(json.dumps({"results": {"bbox": {"AP": ap}}}))
    try:
        check(tmp_path)
    except SystemExit as error:
        assert message is not None and message in str(error)
    else:
        assert message is None


def test_a_name_of_a_loop_is_no_part_of_a_lazy_config(tmp_path):
    """It would be saved with the config, torn out of what its interpolations refer to."""
    for path in leaves():
        if path.suffix == ".py":
            loops = [n for n in ast.parse(path.read_text()).body if isinstance(n, ast.For)]
            assert all(loop.target.id.startswith("_") for loop in loops), path
    name = "LVISv1-InstanceSegmentation/cascade_mask_rcnn_R_50_FPN_1x_eqlv2.py"
    LazyConfig.save(LazyConfig.load(str(FOLDER / name)), str(tmp_path / "config.yaml"))

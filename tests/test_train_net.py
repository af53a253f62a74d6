"""``train_net.py`` as users call it."""

import contextlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from eql_d2.engine import Trainer, get_parser, train_net
from tests.conftest import TINY
from tests.data.class_images import make_class_folders

ROOT = Path(__file__).parents[1]
CLASSIFIER = "classification_R_18_instant_softmax_eql.yaml"
LAZY = ROOT / "configs/quick_schedules/mask_rcnn_R_18_FPN_instant_eqlv2.py"

pytestmark = pytest.mark.usefixtures("no_datasets_left")


@pytest.fixture
def config(tmp_path):
    """A yaml file of the tiny detector."""
    nodes = {}
    for line in TINY.split("\n"):
        if line:
            key, value = line.split()
            node = nodes
            for part in key.split(".")[:-1]:
                node = node.setdefault(part, {})
            node[key.split(".")[-1]] = value.strip("'") if value == "''" else eval_or_text(value)
    path = tmp_path / "tiny.yaml"
    path.write_text(json.dumps(nodes))
    return path


def eval_or_text(value):
    try:
        return eval(value)
    except NameError:
        return value


def arguments(config, data, *options, names=("a_train", "a_val"), opts=()):
    command = ["--config-file", str(config), *options]
    for name, split in zip(names, ("train", "val")):
        command += ["--dataset", name, str(data / f"{split}.json"), str(data / split)]
    if config.suffix == ".yaml":
        command += ["DATASETS.TRAIN", f"('{names[0]}',)", "DATASETS.TEST", f"('{names[1]}',)"]
        command += ["OUTPUT_DIR", str(data / "output")]
    return [*command, *opts]


def run(*args, **kwargs):
    train_net.main(get_parser().parse_args(arguments(*args, **kwargs)))


def run_process(command, data):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    return subprocess.run(command, capture_output=True, text=True, cwd=data, env=environment)


def statistics(path):
    model = torch.load(path)["model"]
    return model["roi_heads.box_predictor.loss_cls.statistics.neg_grad"]


def metrics(data):
    return [json.loads(line) for line in (data / "output/metrics.json").open()]


@pytest.mark.slow
def test_yaml_trains_resumes_and_evaluates(config, data, no_datasets_left):
    run(config, data)
    before = statistics(data / "output/model_final.pth")
    options = {"names": ("b_train", "b_val"), "opts": ("SOLVER.MAX_ITER", "6")}
    run(config, data, "--resume", **options)
    assert (statistics(data / "output/model_final.pth") > before).all()
    iterations = [line["iteration"] for line in metrics(data) if "total_loss" in line]
    assert iterations == sorted(set(iterations)) and iterations[-1] == 5

    weights = ("MODEL.WEIGHTS", str(data / "output/model_final.pth"))
    run(config, data, "--eval-only", names=("c_train", "c_val"), opts=weights)
    assert {"bbox/AP", "bbox/APr", "segm/APf"} <= set(metrics(data)[-1])


@pytest.mark.slow
def test_lazy_config_trains_resumes_and_evaluates(data):
    opts = [
        "model.roi_heads.num_classes=5",
        "train.eval_period=2",
        "train.max_iter=2",
        "train.eql.log_period=1",
        "train.checkpointer.period=2",
        f"train.output_dir={data / 'output'}",
        "dataloader.train.mapper.augmentations.0.short_edge_length=[64]",
        "dataloader.test.mapper.augmentations.0.short_edge_length=64",
    ]
    names = ["dataloader.train.dataset.names={}_train", "dataloader.test.dataset.names={}_val"]

    def named(prefix):
        return {
            "names": (f"{prefix}_train", f"{prefix}_val"),
            "opts": [*opts, *(name.format(prefix) for name in names)],
        }

    run(LAZY, data, **named("a"))
    before = statistics(data / "output/model_final.pth")
    assert (data / "output/gradient_record.dat").exists()
    assert (data / "output/inference/per_category_bbox.json").exists()
    kwargs = named("b")
    kwargs["opts"].append("train.max_iter=3")
    run(LAZY, data, "--resume", **kwargs)
    assert (statistics(data / "output/model_final.pth") > before).all()
    kwargs = named("c")
    kwargs["opts"].append(f"train.init_checkpoint={data / 'output/model_final.pth'}")
    run(LAZY, data, "--eval-only", **kwargs)
    assert {"bbox/AP", "segm/AP"} <= set(metrics(data)[-1])
    # i: --resume takes the last checkpoint, not init_checkpoint, which is empty here
    expected = {key: value for key, value in metrics(data)[-1].items() if "/AP" in key}
    run(LAZY, data, "--eval-only", "--resume", **named("d"))
    found = {key: value for key, value in metrics(data)[-1].items() if "/AP" in key}
    assert json.dumps(found) == json.dumps(expected)


def test_unknown_setting_of_a_lazy_config_ends_with_one_line(data):
    with pytest.raises(SystemExit, match="train.eql.log_perod is unknown: did you mean log_period"):
        run(LAZY, data, opts=("train.eql.log_perod=3",))


def test_coco_format_is_evaluated_by_frequency_groups(config, data):
    for split in ("train", "val"):
        path = data / f"{split}.json"
        annotations = json.loads(path.read_text())
        for image in annotations["images"]:
            del image["neg_category_ids"], image["not_exhaustive_category_ids"]
        path.write_text(json.dumps(annotations))
    run(config, data, opts=("MODEL.EQL.FREQUENCY_THRESHOLDS", "(2, 4)"))
    assert {"bbox/AP", "bbox/APr", "bbox/APc", "bbox/APf"} <= set(metrics(data)[-1])
    table = json.loads((data / "output/inference/a_val/per_category_bbox.json").read_text())
    assert [(row["image_count"], row["group"]) for row in table] == [
        *((8, "f"), (4, "c"), (2, "r"), (2, "r"), (1, "r"))
    ]


@pytest.mark.parametrize(
    "launcher",
    [
        [sys.executable, str(ROOT / "train_net.py"), "--num-gpus", "2"],
        [
            *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"),
            *("--master-port=29617", str(ROOT / "train_net.py")),
        ],
    ],
    ids=["num-gpus", "torchrun"],
)
@pytest.mark.slow
def test_two_cpu_processes_train_and_evaluate(config, data, launcher):
    launcher = [*launcher, "--dist-url", "auto"]
    result = run_process([*launcher, *arguments(config, data)], data)
    assert result.returncode == 0, result.stdout + result.stderr
    assert statistics(data / "output/model_final.pth").min() > 0
    assert "bbox/AP" in metrics(data)[-1]


@pytest.mark.slow
def test_i_test_time_augmentation_is_honoured(config, data):
    """As by Detectron2's script, in training and with --eval-only."""
    opts = ("TEST.AUG.ENABLED", "True", "TEST.AUG.MIN_SIZES", "(64, 72)")
    run(config, data, opts=opts)
    assert any("bbox_TTA/AP" in line for line in metrics(data))
    opts += ("MODEL.WEIGHTS", str(data / "output/model_final.pth"))
    run(config, data, "--eval-only", names=("b_train", "b_val"), opts=opts)
    assert {"bbox/AP", "bbox_TTA/AP", "segm_TTA/AP"} <= set(metrics(data)[-1])
    assert (data / "output/inference_TTA/b_val/evaluation.json").exists()


@pytest.mark.parametrize(("expected", "code"), [(50.5, None), (60.0, 1)])
def test_i_expected_results_are_verified(config, data, monkeypatch, expected, code):
    results = classmethod(lambda cls, cfg, model: {"bbox": {"AP": 50.0}})
    monkeypatch.setattr(Trainer, "test", results)
    opts = ("TEST.EXPECTED_RESULTS", f"[['bbox', 'AP', {expected}, 1.0]]")
    with pytest.raises(SystemExit) if code else contextlib.nullcontext() as error:
        run(config, data, "--eval-only", opts=opts)
    assert code is None or error.value.code == code
    assert metrics(data)[-1] == {"bbox/AP": 50.0}  # written all the same


def test_i_test_time_augmentation_where_there_is_none_ends_with_one_line(config, data):
    opts = ("TEST.AUG.ENABLED", "True", "MODEL.META_ARCHITECTURE", "EQLRetinaNet")
    assert "EQLRetinaNet has no test-time augmentation" in refused(config, data, opts=opts)


def refused(config, data, *options, **kwargs):
    """The one line that a run with bad input ends with."""
    with pytest.raises(SystemExit) as error:
        run(config, data, *options, **kwargs)
    message = str(error.value)
    assert message.startswith("train_net.py: error: ") and "\n" not in message
    assert not list(data.glob("output/*.pth"))
    return message


def test_bad_options_end_with_one_line(config, data):
    def message(name, *opts):
        return refused(config, data, names=(f"{name}_train", f"{name}_val"), opts=opts)

    assert "MODEL.EQL.LOSS is 'Focal'" in message("a", "MODEL.EQL.LOSS", "Focal")
    assert "has 5: set MODEL.ROI_HEADS.NUM_CLASSES" in message(
        "b", "MODEL.ROI_HEADS.NUM_CLASSES", "80"
    )
    assert "gamma of EQLv2 is -1" in message("c", "MODEL.EQL.EQLV2.GAMMA", "-1.0")
    assert "'nowhere.pth' does not exist" in message("d", "MODEL.WEIGHTS", "nowhere.pth")


def test_training_data_without_an_annotation_end_with_one_line(config, data):
    annotations = json.loads((data / "train.json").read_text())
    annotations["annotations"] = []
    (data / "train.json").write_text(json.dumps(annotations))
    opts = ("DATALOADER.FILTER_EMPTY_ANNOTATIONS", "False")
    assert "training data 'a_train' have no annotations" in refused(config, data, opts=opts)


def test_missing_files_end_with_one_line(config, data):
    (data / "train/3.png").unlink()
    assert "1 of 8 images are missing" in refused(config, data)
    (data / "train.json").unlink()
    assert "train.json' does not exist" in refused(config, data)
    assert "nowhere.yaml' does not exist" in refused(data / "nowhere.yaml", data)


@pytest.mark.slow
def test_unreadable_image_ends_with_one_line_and_exit_code_1(config, data):
    for image in (data / "train").glob("*.png"):
        image.write_bytes(image.read_bytes()[:100])
    opts = ("DATALOADER.NUM_WORKERS", "1")
    command = [sys.executable, str(ROOT / "train_net.py"), *arguments(config, data, opts=opts)]
    result = run_process(command, data)
    assert result.returncode == 1
    last = result.stderr.strip().splitlines()[-1]
    assert "train_net.py: error: " in last and ".png' cannot be used" in last
    assert "Traceback" not in result.stdout + result.stderr
    assert not list(data.glob("output/*.pth"))


def test_numbers_that_are_not_finite_end_with_one_line(config, data):
    opts = ("SOLVER.BASE_LR", "1e30", "SOLVER.CHECKPOINT_PERIOD", "1")
    with pytest.raises(SystemExit) as error:
        run(config, data, opts=opts)
    assert re.fullmatch(
        r"train_net.py: error: iteration 1: .* \(images .*\.png, .*\.png\); the step was not "
        r"taken: start again with --resume from .*model_0000000.pth, with a lower .*",
        str(error.value),
    )
    assert not (data / "output/model_final.pth").exists()


@pytest.mark.slow
def test_the_one_line_of_two_processes_is_the_last(config, data):
    command = [sys.executable, str(ROOT / "train_net.py"), "--num-gpus", "2", "--dist-url", "auto"]
    opts = ("SOLVER.BASE_LR", "1e30")
    result = run_process([*command, *arguments(config, data, opts=opts)], data)
    assert result.returncode == 1
    lines = (result.stdout + result.stderr).strip().splitlines()
    assert lines[-1].startswith("train_net.py: error: iteration 1")
    assert sum("error: iteration" in line for line in lines) == 1
    assert "Traceback" not in "".join(lines)


def test_c_test_folders_with_some_of_the_classes_train_and_evaluate(tmp_path):
    """Ten classes to train on; of the test folder two are missing and one is empty."""
    make_class_folders(tmp_path / "train", [4] * 10)
    make_class_folders(tmp_path / "val", [0, 2, 2, 0, 2, 2, 2, 2, 2, 0])
    for k in (0, 9):
        (tmp_path / f"val/class{k}").rmdir()
    command = ["--config-file", str(ROOT / "configs/quick_schedules" / CLASSIFIER)]
    command += ["--class-folder", "few_train", str(tmp_path / "train")]
    command += ["--class-folder", "few_val", str(tmp_path / "val")]
    command += ["DATASETS.TRAIN", "('few_train',)", "DATASETS.TEST", "('few_val',)"]
    command += ["MODEL.CLASSIFIER.NUM_CLASSES", "10", "SOLVER.MAX_ITER", "2"]
    command += ["OUTPUT_DIR", str(tmp_path / "output")]
    train_net.main(get_parser().parse_args(command))
    table = tmp_path / "output/inference/few_val/per_category_classification.json"
    tested = [row["name"] for row in json.loads(table.read_text()) if row["accuracy"] is not None]
    assert tested == [f"class{k}" for k in (1, 2, 4, 5, 6, 7, 8)]
    evaluation = json.loads((table.parent / "evaluation.json").read_text())
    assert (evaluation["num_tested"], evaluation["num_categories"]) == (7, 10)
    assert "means over the 7 of 10 classes" in (tmp_path / "output/log.txt").read_text()


def test_c_a_json_file_with_some_of_the_categories_is_evaluated(config, data):
    content = json.loads((data / "val.json").read_text())
    content["categories"] = [c for c in content["categories"] if c["id"] in (20, 40)]
    content["annotations"] = [a for a in content["annotations"] if a["category_id"] in (20, 40)]
    for federated in (True, False):
        for image in content["images"]:
            if federated:
                image["neg_category_ids"] = [20, 40]
            else:
                del image["neg_category_ids"], image["not_exhaustive_category_ids"]
        (data / "val.json").write_text(json.dumps(content))
        names = (f"train_{federated}", f"val_{federated}")
        run(config, data, names=names, opts=("SOLVER.MAX_ITER", "2"))
        folder = data / "output/inference" / names[1]
        table = json.loads((folder / "per_category_bbox.json").read_text())
        assert [(row["id"], row["image_count"]) for row in table] == [(20, 4), (40, 2)]
        evaluation = json.loads((folder / "evaluation.json").read_text())
        assert evaluation["num_tested"] == 2 and evaluation["groups"]["thresholds"] == [10, 100]

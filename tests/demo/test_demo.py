import dataclasses
import json
import re
import sys
from pathlib import Path

import pytest
from detectron2.config import get_cfg

from eql_d2 import add_eql_config
from eql_d2.demo import __main__ as demo
from eql_d2.demo.results import category_values
from eql_d2.engine import get_parser
from eql_d2.model_zoo import get_config_file
from eql_d2.study.runner import run_study


@pytest.fixture(params=demo.TASKS)
def task(request):
    return demo.TASKS[request.param]


def fake_run(task, folder, value):
    """What a training leaves behind, as far as the demo reads it."""
    evaluation = folder / f"inference/{task.dataset}_val"
    evaluation.mkdir(parents=True)
    lines = [
        {"iteration": 19, "total_loss": 2.0},
        {key: value + i for i, key in enumerate(task.groups)},
    ]
    (folder / "metrics.json").write_text("\n".join(map(json.dumps, lines)))
    file_name, key = task.categories
    categories = [{"image_count": 3 * i + 1, key: value if i else None} for i in range(40)]
    (evaluation / file_name).write_text(json.dumps(categories[::-1]))
    return folder


def test_table_and_figure_show_the_difference(task, tmp_path):
    outputs = {run: fake_run(task, tmp_path / run, 10.0 + 5 * i) for i, run in enumerate(task.runs)}
    header, _, *rows = demo.result_table(task, outputs).splitlines()
    cells = [[cell.strip() for cell in row.split("|")[2:6]] for row in rows]
    assert cells[0] == ["10.0", "11.0", "12.0", "13.0"]
    assert cells[1] == ["15.0", "16.0", "17.0", "18.0"]
    assert cells[2] == ["+5.0"] * 4
    assert task.metric in header
    demo.draw(task, outputs, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 10_000


def test_categories_without_test_images_are_left_out_of_the_figure(task, tmp_path):
    image_count, values = category_values(task, fake_run(task, tmp_path / "run", 10.0))
    assert list(image_count) == list(range(4, 120, 3))
    assert list(values) == [10.0] * 39


def test_both_trainings_of_a_task_differ_in_the_loss_alone(task):
    configs = []
    for run in task.runs:
        cfg = get_cfg()
        add_eql_config(cfg)
        cfg.merge_from_file(get_config_file(f"Demo/{task.dataset}_{run}.yaml"))
        assert cfg.DATASETS.TRAIN == (f"{task.dataset}_train",)
        assert cfg.DATASETS.TEST == (f"{task.dataset}_val",)
        assert cfg.SOLVER.MAX_ITER == task.iters
        configs.append(cfg)
    # The quality focal loss is EQFL without its scale.
    losses = [(cfg.MODEL.EQL.pop("LOSS"), cfg.MODEL.EQL.EQFL.pop("SCALE")) for cfg in configs]
    outputs = [cfg.pop("OUTPUT_DIR") for cfg in configs]
    assert configs[0] == configs[1]
    assert losses[0] != losses[1] and outputs[0] != outputs[1]


def test_thresholds_in_the_labels_are_those_of_the_configs(task):
    cfg = get_cfg()
    add_eql_config(cfg)
    cfg.merge_from_file(get_config_file(f"Demo/{task.dataset}_{next(iter(task.runs))}.yaml"))
    lower, upper = cfg.MODEL.EQL.FREQUENCY_THRESHOLDS
    if "sem_seg/mIoU" in task.groups:
        assert cfg.MODEL.EQL.SEM_SEG.GROUP_BY == "images"
        lower, upper = cfg.MODEL.EQL.SEM_SEG.GROUP_THRESHOLDS
    found = [re.search(r"([<≤]) (\d+)", label) for label in task.groups.values()]
    assert [int(m[2]) - (m[1] == "<") for m in found if m] == [lower, upper]


def test_the_study_trains_both_from_one_seed_on_the_generated_data(task):
    study = demo.demo_study("name", task, 20, 7)
    assert study.output == Path.cwd() / "output/demo/name" and study.jobs == 2
    assert study.generated == task.dataset and study.baseline == next(iter(task.runs))
    assert [trial.name for trial in study.trials] == [f"{run}/seed7" for run in task.runs]
    for trial in study.trials:
        words = trial.command[trial.command.index("--config-file") :]
        args = get_parser().parse_args(words)
        assert args.config_file == get_config_file(f"Demo/{task.dataset}_{trial.run}.yaml")
        registered = args.dataset + args.class_folder + args.mask_folder
        assert [name for name, *_ in registered] == [
            f"{task.dataset}_{s}" for s in ("train", "val")
        ]
        settings = dict(zip(args.opts[::2], args.opts[1::2]))
        assert (settings["SOLVER.MAX_ITER"], settings["SEED"]) == ("20", "7")


def test_a_failed_training_ends_the_demo_with_the_end_of_its_log(tmp_path):
    study = demo.demo_study("name", demo.TASKS["twostage"], 20, 1)
    trials = [
        dataclasses.replace(trial, folder=tmp_path / trial.run, command=(sys.executable, *words))
        for trial, words in zip(study.trials, (["-c", ""], ["-c", "raise OSError('no data')"]))
    ]
    study = dataclasses.replace(
        study, output=tmp_path / "out", generated=None, trials=tuple(trials)
    )
    run_study(study)
    with pytest.raises(SystemExit, match="OSError: no data\ntraining eqlv2 failed: ") as e:
        demo.check_trained(study)
    assert str(e.value).startswith("Traceback") and str(e.value).endswith("eqlv2/log")

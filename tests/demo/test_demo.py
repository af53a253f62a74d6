import dataclasses
import json
import re
import sys
from pathlib import Path

import pytest
from detectron2.config import get_cfg

from eql_d2 import add_eql_config
from eql_d2.demo import __main__ as demo
from eql_d2.demo.messages import too_short
from eql_d2.demo.results import category_values
from eql_d2.engine import get_parser
from eql_d2.model_zoo import get_config_file
from eql_d2.study.runner import run_study

ROOT = Path(__file__).parents[2]


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


@pytest.mark.parametrize("name", demo.TASKS)
def test_the_beginning_says_what_comes_and_the_end_where_to_look(name):
    task, quick_start = demo.TASKS[name], (ROOT / "docs/quick_start.md").read_text()
    text = demo.opening(name, task, task.iters, 3)
    for phase in ("1. data", "2. training", "3. evaluation", "4. page"):
        assert phase in text
    assert all(words in text for words in task.runs.values())
    assert f"{task.iters:,} steps, seed 3" in text and "Short version" not in text
    assert f"In all about {task.minutes} minutes on 2 cores" in text
    words = "See what it does" if name == "twostage" else f"TASK={name}`"
    sentence = quick_start[quick_start.index(words) :]
    assert re.search(r"\d+ minutes", sentence)[0] == f"{task.minutes} minutes"

    page, figure = Path("report.html"), Path("demo.png")
    text = demo.closing(name, task, task.iters, {"page": page, "figure": figure})
    assert text.startswith("Where to look next:") and str(page) in text and str(figure) in text
    for path in re.findall(r"(?:configs|docs)/[\w/]+\.\w+", text):
        assert (ROOT / path).exists()
    assert f"\n## {task.chapter}\n" in (ROOT / "docs/own_data.md").read_text()
    assert f'docs/own_data.md, "{task.chapter}"' in text


@pytest.mark.parametrize("name", demo.TASKS)
def test_a_short_version_says_so_at_both_ends(name):
    task = demo.TASKS[name]
    for text in (demo.opening(name, task, 300, 1), demo.closing(name, task, 300, {})):
        assert f"300 of {task.iters:,} steps are too few to show the effect" in text
        assert f"SOLVER.MAX_ITER of the configs is {task.iters:,}: make demo" in text
        assert name == "twostage" or f"make demo TASK={name} takes" in text
    minutes = int(re.search(r"In all about (\d+) min", demo.opening(name, task, 300, 1))[1])
    assert 2 <= minutes <= task.minutes
    assert too_short(name, task, task.iters) == "" != too_short(name, task, task.iters - 1)


def test_figure_and_page_of_a_short_version_say_so(task, tmp_path, monkeypatch):
    study = demo.demo_study("name", task, 300, 1)
    trials = [dataclasses.replace(trial, folder=tmp_path / trial.run) for trial in study.trials]
    for trial in trials:
        fake_run(task, trial.folder, 10.0)
    study = dataclasses.replace(study, output=tmp_path, trials=tuple(trials))
    titles = []
    monkeypatch.setattr(demo, "draw", lambda *arguments: titles.append(arguments[-1]))
    monkeypatch.setattr(demo, "write_report", lambda folders, path, tables: tables)
    (title, header, rows), *others = demo.write_results(study, task, 300)["page"]
    assert titles == [f"300 of {task.iters:,} steps are too few to show the effect"] == [title]
    assert header[0] == task.metric and rows[-1][0] == "difference" and not others
    assert demo.write_results(study, task, task.iters)["page"] == () and titles[1] == ""


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

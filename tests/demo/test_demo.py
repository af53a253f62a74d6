import json
import re
import sys

import pytest
from detectron2.config import get_cfg

import train_net
from eql_d2 import add_eql_config
from eql_d2.demo import __main__ as demo
from eql_d2.demo.results import category_values


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
        cfg.merge_from_file(demo.ROOT / f"configs/Demo/{task.dataset}_{run}.yaml")
        assert cfg.DATASETS.TRAIN == (f"{task.dataset}_train",)
        assert cfg.DATASETS.TEST == (f"{task.dataset}_val",)
        assert cfg.SOLVER.MAX_ITER == task.iters
        configs.append(cfg)
    losses = [cfg.MODEL.EQL.pop("LOSS") for cfg in configs]
    outputs = [cfg.pop("OUTPUT_DIR") for cfg in configs]
    assert configs[0] == configs[1]
    assert losses[0] != losses[1] and outputs[0] != outputs[1]


def test_thresholds_in_the_labels_are_those_of_the_configs(task):
    cfg = get_cfg()
    add_eql_config(cfg)
    cfg.merge_from_file(demo.ROOT / f"configs/Demo/{task.dataset}_{next(iter(task.runs))}.yaml")
    lower, upper = cfg.MODEL.EQL.FREQUENCY_THRESHOLDS
    if "sem_seg/mIoU" in task.groups:
        assert cfg.MODEL.EQL.SEM_SEG.GROUP_BY == "images"
        lower, upper = cfg.MODEL.EQL.SEM_SEG.GROUP_THRESHOLDS
    found = [re.search(r"([<≤]) (\d+)", label) for label in task.groups.values()]
    assert [int(m[2]) - (m[1] == "<") for m in found if m] == [lower, upper]


def test_train_net_takes_the_data_of_each_task(task, tmp_path, monkeypatch):
    commands = []
    monkeypatch.setattr(demo.subprocess, "Popen", lambda command, **_: commands.append(command))
    demo.start_training(task, next(iter(task.runs)), 20, 1, tmp_path / "data", tmp_path / "out")
    python, *words = commands[0]
    assert python == sys.executable
    args = train_net.get_parser().parse_args(words[words.index("--config-file") :])
    registered = args.dataset + args.class_folder + args.mask_folder
    assert [name for name, *_ in registered] == [f"{task.dataset}_train", f"{task.dataset}_val"]
    assert all(
        path.startswith(str(tmp_path / "data")) for _, *paths in registered for path in paths
    )
    assert args.opts[-4:] == ["SEED", "1", "SOLVER.MAX_ITER", "20"]


@pytest.mark.slow
def test_a_failed_training_ends_the_demo_with_the_end_of_its_log(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "POLL_SECONDS", 0.5)
    task = demo.TASKS["twostage"]
    process = demo.start_training(task, "eqlv2", 20, 1, tmp_path / "nowhere", tmp_path / "out")
    with pytest.raises(SystemExit, match="does not exist.*\n.*training eqlv2 failed"):
        demo.watch({"eqlv2": process}, {"eqlv2": tmp_path / "out"}, 20)

"""The page says with which seed a run was trained, and where those of several differ."""

import pytest
import yaml

from eql_d2.drawn_seed import read_drawn_seed, write_drawn_seed
from eql_d2.report.facts import different_seeds, run_facts
from eql_d2.report.page import write_report
from eql_d2.report.run import Run, load_run

from .synthetic_runs import make_run


def run_of(folder, seed, drawn=None, **changes):
    folder.mkdir(exist_ok=True)
    if drawn is not None:
        write_drawn_seed(folder, drawn)
    config = {"SEED": seed} if seed != "lazy" else {"train": {"max_iter": 5}}
    return Run(folder.name, folder, **{"config": config, "iterations": 5} | changes)


@pytest.mark.parametrize(
    "seed, drawn, words",
    [
        (5, None, "5"),
        (5, 77, "5"),  # the file is of an earlier training in the folder
        (0, None, "0"),
        (-1, 77, "77, drawn"),
        (-1, None, "drawn, not known"),
        ("lazy", 77, "77, drawn"),
    ],
)
def test_a_seed_that_was_drawn_is_shown_as_drawn(tmp_path, seed, drawn, words):
    assert ["Seed", words] in run_facts([run_of(tmp_path / "run", seed, drawn)])[1]


def test_a_damaged_file_is_a_seed_that_is_not_known(tmp_path):
    for text in ("", "[]", '{"seed": "7"}', "{}"):
        (tmp_path / "drawn_seed.json").write_text(text)
        assert read_drawn_seed(tmp_path) is None


def test_runs_with_different_seeds_are_said_to_have_them(tmp_path):
    a, b = run_of(tmp_path / "a", 1), run_of(tmp_path / "b", 2)
    line = different_seeds([a, b])
    assert "the seeds differ, too (a: 1, b: 2): train all with one SEED" in line
    same, drawn = run_of(tmp_path / "same", 1), run_of(tmp_path / "drawn", -1, 9)
    assert "same: 1, drawn: 9, drawn)" in different_seeds([same, drawn])
    unknown = [run_of(tmp_path / name, -1) for name in ("x", "y")]
    assert "x: drawn, not known, y: drawn, not known" in different_seeds(unknown)
    evaluated = run_of(tmp_path / "evaluated", 3, iterations=None)
    without_config = run_of(tmp_path / "without", 3, config={})
    for runs in ([a], [a, same], [a, evaluated], [a, without_config]):
        assert different_seeds(runs) == ""


def test_the_page_of_a_comparison_says_so(tmp_path):
    folders = [make_run(tmp_path / name) for name in ("base", "eql")]
    for seed, folder in enumerate(folders):
        config = yaml.safe_load((folder / "config.yaml").read_text())
        (folder / "config.yaml").write_text(yaml.dump(config | {"SEED": seed}))
    assert "as the seeds differ, too (base: 0, eql: 1)" in write_report(folders).read_text()
    assert load_run(folders[0]).config["SEED"] == 0

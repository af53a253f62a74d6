"""What is run, what is not run again, and what happens to the others where one fails."""

import io
import json
import os
import re
import shutil
from collections import Counter

import pytest

from eql_d2 import InputError
from eql_d2.study import data, processes, runner
from eql_d2.study.__main__ import finish_study
from eql_d2.study.plan import make_study
from eql_d2.study.processes import locked
from eql_d2.study.progress import (
    FileProgress,
    TerminalProgress,
    progress_for,
    progress_line,
)
from eql_d2.study.results import read_outcomes, summarize
from eql_d2.study.runner import run_study

pytestmark = pytest.mark.usefixtures("fake")
FAILS = {"overrides": {"VIS_PERIOD": 13}}


def starts(study):
    return Counter((study.output / "starts").read_text().split())


def test_every_trial_is_run_once_with_one_thread_and_recorded(content):
    study = make_study(content, "toy")
    run_study(study)
    run_study(study)
    assert starts(study) == {trial.name: 1 for trial in study.trials}
    for trial in study.trials:
        record = json.loads((trial.folder / "run.json").read_text())
        assert (record["command"], record["exit"]) == (list(trial.command), 0)
        assert record["seconds"] > 0 and record["machine"]["cores"] == os.cpu_count()
        assert record["machine"]["cpu"] and record["versions"].keys() >= {"torch", "eql_d2"}
        assert (trial.folder / "log").read_text() == "threads: 1\n"
    by_run = {s.run: s for s in summarize(read_outcomes(study), "a") if s.metric == "bbox/AP"}
    assert (by_run["a"].mean, by_run["b"].mean, by_run["b"].difference) == (2.0, 7.0, 5.0)


def test_what_was_not_finished_starts_from_an_empty_folder(content):
    study = make_study(content, "toy")
    run_study(study)
    folder = study.trials[2].folder
    (folder / "run.json").unlink()
    (folder / "old.pth").write_text("of a training that was killed")
    run_study(study)
    assert not (folder / "old.pth").exists() and (folder / "run.json").exists()
    assert starts(study) == {trial.name: 1 + (trial.folder == folder) for trial in study.trials}


def test_others_go_on_where_one_fails_and_it_is_tried_again(content, capsys):
    content["runs"] = {
        "bad": FAILS,
        "of_bad": {"weights_of": "bad", "config": content["config"]},
        **content["runs"],
    }
    study = make_study({**content, "seeds": [1, 2], "baseline": "a"}, "toy")
    run_study(study)
    assert starts(study) == {t.name: 1 for t in study.trials if t.run != "of_bad"}
    reason = "exit 1: train_net.py: error: 13 is an unlucky number"
    assert f"bad/seed2: {reason}; the others go on" in capsys.readouterr().out
    problems = {o.trial.name: o.problem for o in read_outcomes(study)}
    assert problems["bad/seed1"] == reason and problems["a/seed1"] == ""
    assert problems["of_bad/seed2"] == "not run: it needs bad/seed2"
    run_study(study)
    assert starts(study)["bad/seed1"] == 2 and starts(study)["a/seed1"] == 1

    content["runs"]["bad"] = {}
    mended = make_study({**content, "seeds": [1, 2]}, "toy")
    run_study(mended)
    assert not any(outcome.problem for outcome in read_outcomes(mended))
    assert starts(study)["of_bad/seed1"] == 1 and starts(study)["b/seed1"] == 1


def test_evaluation_waits_for_the_weights_of_its_seed(content):
    content["runs"] = {"scores": {"weights_of": "a", "overrides": {"SOLVER.BASE_LR": 0.3}}, "a": {}}
    study = make_study({**content, "jobs": 4, "overrides": {"SOLVER.MAX_ITER": 20}}, "toy")
    run_study(study)
    found = {o.trial.name: o.metrics["bbox/AP"] for o in read_outcomes(study)}
    assert [found[f"scores/seed{k}"] for k in (1, 2, 3)] == [4.0, 5.0, 6.0]


def test_a_finished_run_with_other_settings_is_refused(content):
    study = make_study(content, "toy")
    run_study(study)
    content["runs"]["b"] = {"overrides": {"SOLVER.BASE_LR": 0.6}}
    other = make_study(content, "toy")
    with pytest.raises(InputError, match="b/seed1 was finished with other settings .* delete") as e:
        run_study(other)
    assert "\n" not in str(e.value) and sum(starts(study).values()) == 6
    shutil.rmtree(study.output / "b")
    run_study(other)
    assert starts(study) == {t.name: 1 + (t.run == "b") for t in study.trials}


def test_a_study_that_starts_anew_forgets_all(content):
    study = make_study(content, "toy")
    run_study(study)
    (study.output / "old.txt").write_text("")
    run_study(study, anew=True)
    assert sum(starts(study).values()) == 6 and not (study.output / "old.txt").exists()


def test_what_no_study_made_is_never_removed(content, tmp_path):
    study = make_study(content, "toy")
    mine = study.trials[0].folder / "thesis.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    with pytest.raises(InputError, match="holds what no study made: name an empty folder"):
        run_study(study)
    assert mine.read_text() == "mine"
    with pytest.raises(InputError, match="is a file: give a folder"):
        make_study({**content, "output": content["config"]}, "toy")


def test_two_studies_on_one_folder_are_refused(content, monkeypatch):
    monkeypatch.setattr(processes, "_LOCK_SECONDS", 0.2)
    study = make_study(content, "toy")
    with locked(study.output), pytest.raises(InputError, match="a study runs in .* already"):
        run_study(study)
    run_study(study)


def test_progress_shows_what_runs_and_what_is_left(content, monkeypatch, capsys):
    monkeypatch.setattr(FileProgress, "seconds", 0)
    content["runs"] = {"a": {}, "e": {"weights_of": "a"}}
    run_study(make_study({**content, "seeds": [1], "overrides": {"SOLVER.MAX_ITER": 60}}, "toy"))
    out = capsys.readouterr().out
    assert out.startswith("2 of 2 trainings and evaluations to do, 2 at a time; logs in ")
    assert re.search(r"\] 0 of 2 done, about 1 min left   a/seed1 \d+/60 loss 1.00\n", out)
    assert "1 of 2 done   e/seed1 evaluating" in out


def test_on_a_terminal_the_line_takes_the_place_of_the_one_before(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    stream = io.StringIO()
    progress = TerminalProgress(stream)
    progress.show("[   9 s] 0 of 2 done   a/seed1 20/60 loss 1.00   b/seed1 20/60 loss 1.00")
    assert stream.getvalue().split("\n") == [
        "[   9 s] 0 of 2 done",
        "a/seed1 20/60 loss 1.00",
        "b/seed1 20/60 loss 1.00",
    ]
    stream.truncate(0)
    progress.show("short")
    assert stream.getvalue().lstrip("\0") == "\r\x1b[A\x1b[A\x1b[Jshort"
    stream.truncate(0)
    progress.clear()
    progress.clear()
    assert stream.getvalue().lstrip("\0") == "\r\x1b[J"
    assert type(progress_for(stream)) is FileProgress
    monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
    assert type(progress_for(stream)) is TerminalProgress


def test_what_is_left_comes_from_the_steps_before_the_first_training_is_finished(content):
    study = make_study({**content, "seeds": [1], "overrides": {"SOLVER.MAX_ITER": 600}}, "toy")
    for trial in study.trials:
        trial.folder.mkdir(parents=True)
        line = {"iteration": 59, "total_loss": 2.0, "time": 0.5}
        (trial.folder / "metrics.json").write_text(json.dumps(line) + "\n")
    running = list(study.trials)
    # A minute of waiting does not count: 540 steps at half a second
    line = progress_line(90, 0, 2, running, 0, 1200)
    assert line.startswith("[  90 s] 0 of 2 done, about 5 min left   a/seed1 60/600 loss 2.00   b/")
    # Once one is finished, all counts: 660 steps took 660 seconds, 540 are left
    assert ", about 9 min left" in progress_line(660, 1, 2, running[1:], 600, 1200)


def test_generated_data_is_made_once_before_the_trials(content, monkeypatch):
    made = []
    monkeypatch.setattr(runner, "generate", made.append)
    study = make_study({**content, "data": {"generate": "glyph_maps"}}, "toy")
    run_study(study)
    run_study(study)
    assert made == ["glyph_maps"]


@pytest.mark.slow
def test_data_that_cannot_be_generated_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "datasets/glyphs").mkdir(parents=True)
    (tmp_path / "datasets/glyphs/thesis.txt").write_text("mine")
    monkeypatch.setattr(data, "_folder", lambda name: tmp_path / "datasets" / name)
    with pytest.raises(InputError, match="glyphs cannot be generated: .* something other"):
        data.generate("glyphs")


def test_the_page_has_the_tables_and_the_first_seed_of_the_runs(content, monkeypatch, capsys):
    content["runs"] = {"bad": FAILS, **content["runs"]}
    study = make_study({**content, "seeds": [1, 2], "baseline": "b"}, "toy")
    run_study(study)
    outcomes = finish_study(study)
    assert [o.trial.name for o in outcomes if o.problem] == ["bad/seed1", "bad/seed2"]
    page = (study.output / "report.html").read_text()
    assert "<h1>a/seed1 against b/seed1</h1>" in page
    assert page.index("Mean ± standard deviation") < page.index("Difference to b, paired by seed")
    assert page.index("<td>−5.0 [−5.0, −5.0]</td>") < page.index("What this page cannot show")
    printed = capsys.readouterr().out
    assert printed.endswith(f"{study.output / 'report.html'}\n")
    assert (study.output / "table.md").read_text() in printed


def test_without_a_baseline_there_is_a_table_and_no_page(content):
    content["runs"] = {"bad": FAILS, **content["runs"]}
    study = make_study(content, "toy")
    run_study(study)
    finish_study(study)
    assert (study.output / "table.csv").exists() and not (study.output / "report.html").exists()

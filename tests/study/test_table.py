"""Tables for people and for programs."""

import csv
import dataclasses

import pytest

from eql_d2.study.plan import make_study
from eql_d2.study.results import Outcome, summarize
from eql_d2.study.table import markdown, study_tables, write_tables

RECORD = {
    "exit": 0,
    "seconds": 7.5,
    "versions": {"python": "3.11", "torch": "2"},
    "machine": {"cpu": "A CPU", "cores": 4},
}


@pytest.fixture
def study(content, tmp_path):
    (tmp_path / "output").mkdir()
    return make_study(content, "toy")


def outcomes_of(study):
    """b is 2, 3 and 4 better; its last seed fails."""
    outcomes = []
    for trial in study.trials:
        ap = 10.0 * trial.seed + (trial.run == "b") * (1 + trial.seed)
        metrics = {"bbox/AP": ap, "bbox/APr": 1.0, "bbox/AP50": 50.0, "gradient_ratio/rare": 0.125}
        outcome = Outcome(trial, RECORD, metrics | {"seconds_per_step": 0.25}, "")
        if trial.name == "b/seed3":
            outcome = Outcome(trial, {**RECORD, "exit": 3}, {}, "exit 3: no data")
        outcomes.append(outcome)
    return outcomes


def text_of(study, outcomes):
    summaries = summarize(outcomes, study.baseline)
    return markdown(study, outcomes, summaries, study_tables(study, outcomes, summaries))


def rows_of(text):
    """Cells of the lines of the Markdown tables."""
    return [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in text.splitlines()
        if line.startswith("|") and "--" not in line
    ]


def test_markdown_says_once_where_means_are_over_some_of_the_categories(study):
    line = "my_val shows 1 of 30 categories: the means are over that one"
    outcomes = [outcome._replace(tested=(line,)) for outcome in outcomes_of(study)]
    assert text_of(study, outcomes).count(f"\n\n{line}.\n\n") == 1
    assert "categories" not in text_of(study, outcomes_of(study))


def test_markdown_has_means_differences_failures_and_the_machine(study):
    text = text_of(study, outcomes_of(study))
    columns = ["box AP", "box AP rare", "ratio rare", "s a step"]
    assert rows_of(text) == [
        ["run", "seeds", *columns],
        ["a", "3", "20.0 ± 10.0", "1.0 ± 0.0", "0.12 ± 0.00", "0.250 ± 0.000"],
        ["b", "2", "17.5 ± 7.8", "1.0 ± 0.0", "0.12 ± 0.00", "0.250 ± 0.000"],
        ["run", "pairs", *columns[:2]],
        ["b", "2", "+2.5 [+2.0, +3.0]", "+0.0 [+0.0, +0.0]"],
    ]
    assert "- b/seed3: exit 3: no data" in text and "bootstrap over the seeds, 10,000" in text
    assert text.count("A CPU, 4 cores; python 3.11, torch 2.") == 1


def test_the_gpu_is_named(study):
    machine = RECORD["machine"] | {"gpu": "A GPU"}
    record = {**RECORD, "machine": machine}
    outcomes = [outcome._replace(record=record) for outcome in outcomes_of(study)]
    assert "A CPU, 4 cores, A GPU; python 3.11" in text_of(study, outcomes)


def test_ratios_bear_the_names_of_the_task(study):
    metrics = {"classification/top1": 50.0, "classification/few": 1.0, "gradient_ratio/rare": 0.5}
    outcomes = [Outcome(trial, RECORD, metrics, "") for trial in study.trials]
    columns = ["top-1 accuracy", "accuracy few-shot", "ratio few"]
    assert rows_of(text_of(study, outcomes))[0] == ["run", "seeds", *columns]


def test_of_one_seed_there_is_neither_deviation_nor_interval(study):
    study = dataclasses.replace(study, seeds=(1,), trials=study.trials[:2])
    text = text_of(study, outcomes_of(study))
    assert "±" not in text and "interval" not in text.lower()
    assert rows_of(text)[-1] == ["b", "1", "+2.0", "+0.0"]


def test_a_run_without_results_has_a_row_and_a_reason(study):
    outcomes = [
        o if o.trial.run == "b" else Outcome(o.trial, {}, {}, "not run: it needs c")
        for o in outcomes_of(study)
    ]
    text = text_of(study, outcomes)
    assert rows_of(text)[1] == ["a", "0", "–", "–", "–", "–"]
    assert rows_of(text)[-1] == ["b", "0", "–", "–"]
    assert text.count("not run: it needs c") == 3


def test_csv_files_have_all_numbers(study):
    outcomes = outcomes_of(study)
    paths = write_tables(study, outcomes, summarize(outcomes, study.baseline), "text")
    assert [path.name for path in paths] == ["table.md", "table.csv", "runs.csv"]
    assert paths[0].read_text() == "text"
    rows = list(csv.DictReader(paths[1].open()))
    assert len(rows) == 10 and rows[0]["difference"] == ""
    row = next(row for row in rows if (row["run"], row["metric"]) == ("b", "bbox/AP"))
    expected = {"mean": 17.5, "sd": 7.77817, "n": 2, "difference": 2.5, "low": 2, "high": 3}
    assert {key: float(row[key]) for key in expected} == expected and row["pairs"] == "2"
    assert {"bbox/AP50", "seconds_per_step"} < {row["metric"] for row in rows}
    runs = list(csv.DictReader(paths[2].open()))
    assert [(row["run"], row["seed"], row["exit"]) for row in runs][4:] == [
        ("a", "3", "0"),
        ("b", "3", "3"),
    ]
    assert (runs[1]["bbox/AP"], runs[1]["seconds"], runs[1]["problem"]) == ("12", "7.5", "")
    assert (runs[5]["bbox/AP"], runs[5]["problem"]) == ("", "exit 3: no data")


@pytest.mark.parametrize(
    "records, reason",
    [
        ([RECORD | {"at_a_time": 1}] * 2, None),
        ([RECORD, RECORD | {"at_a_time": 2}], "up to 2 shared the machine"),
        ([RECORD, RECORD | {"machine": {"cpu": "B", "cores": 4}}], "on several machines"),
    ],
)
def test_times_of_runs_that_shared_the_machine_are_no_comparison(study, records, reason):
    outcomes = [o._replace(record=records[i % 2]) for i, o in enumerate(outcomes_of(study))]
    text = text_of(study, outcomes)
    column = "s a step" if reason is None else "s a step (no comparison)"
    assert rows_of(text)[0][-1] == column
    assert ("Seconds a step are no comparison" in text) == (reason is not None)
    assert (reason or "") in text

"""The page shows what the runs have, and never fails because of what they lack."""

import json
import sys
import time

import pytest

from eql_d2 import InputError
from eql_d2.report import __main__ as command
from eql_d2.report.page import write_report
from eql_d2.report.run import load_run

from .synthetic_runs import make_run, write_lazy_config
from .test_run import DAMAGES

NAMES = ['<script>window.attacked = 1</script> & "co"', *(f"c{i}" for i in range(29))]


@pytest.fixture
def runs(tmp_path):
    return make_run(tmp_path / "base", names=NAMES), make_run(
        tmp_path / "eql", names=NAMES, gain=0.8
    )


def rows_of(page):
    start = page.index('id="categories-data">') + len('id="categories-data">')
    return json.loads(page[start : page.index("</script>", start)])["rows"]


def test_the_page_of_one_run(runs):
    path = write_report([runs[0]])
    page = path.read_text()
    assert path == runs[0] / "report.html" and "<title>base</title>" in page
    assert page.count("<h1>") == 1 and "What this page cannot show" in page  # no detections
    assert page.count("<img ") == 4 == len(list((runs[0] / "figures").glob("*.png")))
    assert not list(runs[0].rglob("*.tmp"))


def test_the_page_of_two_runs_shows_the_difference(runs):
    path = write_report(runs)
    page = path.read_text()
    assert path == runs[0].parent / "report.html" and "<h1>eql against base</h1>" in page
    assert "+8.0" in page
    rows, record = rows_of(page), load_run(runs[0]).record
    assert len(rows) == 30 and all(len(row) == 13 for row in rows)
    rarest, most = rows[0], rows[-1]
    assert rarest[2] == min(c["image_count"] for c in record.categories) and rarest[1] == "rare"
    assert most[2] == max(c["image_count"] for c in record.categories)
    untested = next(row for row in rows if row[0] == NAMES[0])
    assert untested[7] is None and untested[12] is None
    for row in rows:
        assert row[6] == pytest.approx(row[4] / row[5], rel=1e-3)
        assert row is untested or row[12] == pytest.approx(8, abs=0.01)
    assert page.index("What differs between the runs") < page.index("<code>MODEL.EQL.LOSS</code>")


def test_a_page_of_many_runs_has_a_row_for_each_and_merges_what_is_the_same(tmp_path):
    folders = [make_run(tmp_path / f"run{i}", gain=0.1 * i) for i in range(4)]
    page = write_report(folders).read_text()
    assert "<h1>3 runs against run0</h1>" in page
    results = page[page.index("<h2>Results</h2>") : page.index("<h2>Figures</h2>")]
    assert results.count("<tr>") == 5 and results.count("<td>20.0</td>") == 4
    assert results.count("<td>23.0 (+3.0)</td>") == 4
    assert {len(row) for row in rows_of(page)} == {4 + 2 * 4}  # ratio and score
    assert '<td colspan="4">LVISEvaluator (an engine 1.2)</td>' in page
    assert '<td colspan="3">EQLv2</td>' in page  # all but the first


def test_a_category_that_is_not_tested_says_so(runs):
    text = "is not in them is not tested"
    assert text in write_report([runs[0]]).read_text()
    path = runs[0] / "inference/my_val/per_category_bbox.json"
    path.write_text(path.read_text().replace('"AP": null', '"AP": 0.0'))
    assert text not in write_report([runs[0]]).read_text()


def test_names_of_categories_never_become_html(runs):
    page = write_report(runs).read_text()
    assert "<script>window" not in page and rows_of(page)  # and what is shown: test_browser.py


def test_runs_are_told_apart_by_their_paths(tmp_path):
    folders = [make_run(tmp_path / name / "output") for name in ("a", "b")]
    assert "<h1>b/output against a/output</h1>" in write_report(folders).read_text()
    with pytest.raises(InputError, match="named twice"):
        write_report([folders[0], folders[0]])


def test_lazy_runs_and_other_scores(tmp_path):
    run = make_run(tmp_path / "lazy", task="keypoints")
    write_lazy_config(run)
    page = write_report([run]).read_text()
    assert "<td>EQLv2</td>" in page and "400 of 400" in page
    assert '<th scope="col">keypoints AP</th>' in page and "What this page cannot show" not in page


@pytest.mark.parametrize(
    "damage", ["no record", "another number of classes", "half a row", "no evaluation"]
)
def test_a_page_is_written_without_what_is_missing(damage, runs):
    spoil, line = DAMAGES[damage]
    spoil(runs[0])
    page = write_report([runs[0]]).read_text()
    assert "What this page cannot show" in page and line in page and rows_of(page)


def test_runs_that_miss_different_parts_are_compared_all_the_same(runs):
    DAMAGES["no evaluation"][0](runs[0])
    DAMAGES["no record"][0](runs[1])
    page = write_report(runs).read_text()
    assert "+8.0" in page and {len(row) for row in rows_of(page)} == {4 + 3 + 1}


def test_a_page_of_settings_alone(runs):
    for name in ("gradient_record.json", "metrics.json", "inference/my_val/per_category_bbox.json"):
        (runs[0] / name).unlink()
    page = write_report([runs[0]]).read_text()
    assert "SoftmaxCE" in page and "<table id=" not in page


def test_runs_of_other_categories_are_left_out_of_the_table(runs, tmp_path):
    other = make_run(tmp_path / "other", 20)
    page = write_report([runs[0], other]).read_text()
    assert "its categories are not those of base" in page and len(rows_of(page)) == 30


@pytest.mark.parametrize(
    "num_classes, seconds, megabytes", [(1203, 20, 5), (8142, 60, 15)], ids=["lvis", "inaturalist"]
)
def test_time_and_size_at_many_categories(num_classes, seconds, megabytes, tmp_path):
    run = make_run(tmp_path / "run", num_classes, 500)
    start = time.process_time()
    path = write_report([run])
    assert time.process_time() - start < seconds
    assert path.stat().st_size < megabytes * 1e6
    assert len(rows_of(path.read_text())) == num_classes


def test_the_command_prints_the_path_or_one_line(runs, tmp_path, monkeypatch, capsys):
    def call(*words):
        monkeypatch.setattr(sys, "argv", ["report", *map(str, words)])
        command.main()
        return capsys.readouterr().out.strip()

    assert call(runs[0]) == str(runs[0] / "report.html")
    assert call(*runs, "--output", tmp_path / "both.html") == str(tmp_path / "both.html")
    with pytest.raises(SystemExit, match="error: .*missing is not a folder"):
        call(tmp_path / "missing")
    with pytest.raises(SystemExit, match="error: .*none"):
        call(runs[0], "--output", runs[0] / "config.yaml" / "none" / "page.html")
    with pytest.raises(SystemExit) as stop:
        call()
    assert stop.value.code == 2


def test_b_a_page_of_open_images_has_its_five_groups(tmp_path):
    folder = make_run(tmp_path / "run", names=[f"c{i}" for i in range(30)])
    for path in (
        folder / "gradient_record.json",
        folder / "inference/my_val/per_category_bbox.json",
    ):
        text = path.read_text()
        for group, number in (("f", "5"), ("c", "3"), ("r", "1")):
            text = text.replace(f'"group": "{group}"', f'"group": "{number}"')
        path.write_text(text)
    page = write_report([folder]).read_text()
    assert {row[1] for row in rows_of(page)} == {f"group {i} of 5" for i in (1, 3, 5)}
    assert page.count("<img ") == 4 and "group 1 of 5 0." in page


def test_evaluator_and_rule_of_the_groups_come_from_evaluation_json(runs):
    page = write_report(runs).read_text()
    assert "LVISEvaluator (an engine 1.2)" in page and "rare to 10 training images" in page

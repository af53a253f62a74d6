import json

import pytest

from eql_d2 import demo

RUNS = demo.TASKS["onestage"]


def fake_run(folder, ap):
    """What a training leaves behind, as far as the demo reads it."""
    evaluation = folder / "inference/glyphs_val"
    evaluation.mkdir(parents=True)
    lines = [
        {"iteration": 19, "total_loss": 2.0},
        {f"bbox/{metric}": ap + i for i, metric in enumerate(demo.METRICS)},
    ]
    (folder / "metrics.json").write_text("\n".join(map(json.dumps, lines)))
    categories = [
        {"image_count": 3 * i + 1, "AP": ap, "group": "r" if i < 4 else "c" if i < 34 else "f"}
        for i in range(40)
    ]
    (evaluation / "per_category_bbox.json").write_text(json.dumps(categories))
    return folder


def test_table_and_figure_show_the_difference(tmp_path):
    outputs = {run: fake_run(tmp_path / run, 10.0 + 5 * i) for i, run in enumerate(RUNS)}
    rows = demo.result_table(RUNS, outputs).splitlines()[2:]
    cells = [[cell.strip() for cell in row.split("|")[2:6]] for row in rows]
    assert cells[0] == ["10.0", "11.0", "12.0", "13.0"]
    assert cells[1] == ["15.0", "16.0", "17.0", "18.0"]
    assert cells[2] == ["+5.0"] * 4
    demo.draw(RUNS, outputs, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 10_000


def test_a_failed_training_ends_the_demo_with_the_end_of_its_log(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "POLL_SECONDS", 0.5)
    process = demo.start_training("eqlv2", 20, 1, tmp_path / "nowhere", tmp_path / "out")
    with pytest.raises(SystemExit, match="does not exist.*\n.*training eqlv2 failed"):
        demo.watch({"eqlv2": process}, {"eqlv2": tmp_path / "out"}, 20)

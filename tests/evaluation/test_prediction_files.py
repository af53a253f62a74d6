import json

import pytest

from eql_d2.evaluation.prediction_files import (
    PartWriter,
    is_empty,
    join_parts,
    join_top_per_category,
    open_atomic,
)
from eql_d2.exceptions import InputError


def row(category_id: int, score: float, **more) -> dict:
    return {"category_id": category_id, "score": score, "bbox": [0, 0, 2, 2], **more}


def write(tmp_path, images: list[list[dict]], rank: int = 0):
    writer = PartWriter(str(tmp_path), rank)
    for rows in images:
        writer.write("bbox", rows)
    return writer.close()["bbox"]


def test_join_keeps_all_rows_in_the_order_of_ranks(tmp_path):
    images = [[row(1, 0.25), row(2, 0.1)], [], [row(1, 0.5)]]
    parts = [write(tmp_path, images), write(tmp_path, [[]], 1), write(tmp_path, images[:1], 2)]
    join_parts(parts, tmp_path / "joined.json")
    rows = [*images[0], *images[2], *images[0]]
    assert json.loads((tmp_path / "joined.json").read_text()) == rows
    assert not is_empty(tmp_path / "joined.json")


def test_join_of_nothing_is_an_empty_list(tmp_path):
    join_parts([write(tmp_path, [[]])], tmp_path / "joined.json")
    assert json.loads((tmp_path / "joined.json").read_text()) == []
    assert is_empty(tmp_path / "joined.json")


def test_top_of_each_category_among_equal_scores_is_the_first(tmp_path):
    scores = [0.5, 0.9, 0.5, 0.1, 0.5, 0.7, 0.5, 0.5, 0.2, 0.5] * 3
    images = [[row(1, score, order=i), row(2, score)] for i, score in enumerate(scores)]
    images[0].append(row(3, 0.01))
    join_top_per_category([write(tmp_path, images)], tmp_path / "top.json", 10)
    top = json.loads((tmp_path / "top.json").read_text())
    best = sorted(range(30), key=lambda i: -scores[i])[:10]
    assert [r["order"] for r in top if r["category_id"] == 1] == sorted(best)
    assert sum(r["category_id"] == 2 for r in top) == 10
    assert sum(r["category_id"] == 3 for r in top) == 1


def test_rows_without_area_count_for_the_limit_and_go(tmp_path):
    images = [[row(1, 0.9, bbox=[0, 0, 0, 5]), row(1, 0.8), row(1, 0.7)]]
    join_top_per_category([write(tmp_path, images)], tmp_path / "top.json", 2)
    assert [r["score"] for r in json.loads((tmp_path / "top.json").read_text())] == [0.8]


@pytest.mark.parametrize("damage", ["", "missing"])
def test_incomplete_part_is_never_evaluated(tmp_path, damage):
    part = write(tmp_path, [[row(1, 0.5)]])
    with open(part.path, "r+") as file:
        file.truncate(part.size - 1)
    if damage == "missing":
        (tmp_path / "lvis_bbox_rank0.jsonl").unlink()
    with pytest.raises(InputError, match="lvis_bbox_rank0"):
        join_parts([part], tmp_path / "joined.json")
    assert not (tmp_path / "joined.json").exists()


def test_interrupted_write_keeps_the_older_file(tmp_path):
    (tmp_path / "file").write_text("older")
    with pytest.raises(KeyboardInterrupt):
        with open_atomic(tmp_path / "file") as file:
            file.write("half")
            raise KeyboardInterrupt
    assert (tmp_path / "file").read_text() == "older"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_number_json_does_not_know_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        PartWriter(str(tmp_path), 0).write("bbox", [row(1, float("nan"))])

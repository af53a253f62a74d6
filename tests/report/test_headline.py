"""The first table says how many categories each of its means is over."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from eql_d2.report.headline import headline
from eql_d2.report.run import Run

GROUPS = "rrrcccccff0"


def make(scores, metrics, *, task="bbox", record=True, groups=GROUPS):
    """A run whose table has these scores, or, for None, no table."""
    rows = [{"name": f"c{i}", "group": group} for i, group in enumerate(groups)]
    run = Run("run", Path("run"), metrics={f"{task}/{metric}": 20.0 for metric in metrics})
    if record:
        run.record = SimpleNamespace(categories=rows)
    if scores is not None:
        key = "IoU" if task == "sem_seg" else "accuracy" if task == "classification" else "AP"
        run.tables[task] = [row | {key: score} for row, score in zip(rows, scores)]
    return run


def words_of(*runs):
    return [row[0] for row in headline(runs)[1]]


AP = ("AP", "APr", "APc", "APf", "AP50")


def test_the_size_of_each_group_is_its_own():
    """Those of rare and common could be swapped and no test saw it."""
    sized = ["box AP rare (3)", "box AP common (5)", "box AP frequent (2)"]
    assert words_of(make([1.0] * 11, AP)) == ["box AP", *sized, "box AP at IoU 0.5"]
    assert words_of(make(None, AP))[1:4] == sized  # before the first table
    assert words_of(make([1.0] * 11, AP, record=False))[1:4] == sized
    many = [make([1.0] * 11, AP) for _ in range(3)]
    assert headline(many)[0][1:] == ["box AP", *sized, "box AP at IoU 0.5"]


def test_a_mean_over_one_class_of_many_says_so():
    """AP 61.3 of a test set that shows one class of eleven looked like any other."""
    scores = [None] * 3 + [61.3] + [None] * 7
    assert words_of(make(scores, AP)) == [
        "box AP (1 of 11 tested)",
        "box AP rare (0 of 3 tested)",
        "box AP common (1 of 5 tested)",
        "box AP frequent (0 of 2 tested)",
        "box AP at IoU 0.5 (1 of 11 tested)",
    ]


@pytest.mark.parametrize(
    ("task", "metrics", "expected"),
    [
        (
            "classification",
            ("top1", "mean_class", "few"),
            [
                "top-1 accuracy",
                "mean accuracy of the classes (9 of 11 tested)",
                "accuracy few-shot (1 of 3 tested)",
            ],
        ),
        (
            "sem_seg",
            ("mIoU", "mIoU_tail", "mACC", "pACC"),
            [
                "mIoU (9 of 11 tested)",
                "mIoU tail (1 of 3 tested)",
                "mean accuracy of the classes (9 of 11 tested)",
                "accuracy of the pixels",
            ],
        ),
    ],
)
def test_shares_of_images_and_pixels_are_no_means_over_classes(task, metrics, expected):
    assert words_of(make([None] * 2 + [50.0] * 9, metrics, task=task)) == expected


def test_categories_of_no_group_and_runs_without_a_table_are_shown_all_the_same():
    assert words_of(make([1.0, None], AP[:2], record=False, groups=[None] * 2)) == [
        "box AP (1 of 2 tested)",
        "box AP rare",
    ]
    assert words_of(make(None, AP[:1], record=False)) == ["box AP"]

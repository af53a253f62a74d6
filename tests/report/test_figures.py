"""Figures are looked at by people; here: that they say what the data say, at any size."""

from pathlib import Path

import numpy as np
import pytest

from eql_d2 import InputError
from eql_d2.gradient_record import GradientRecordData, LossRecord
from eql_d2.report.drawing import category_order, smooth
from eql_d2.report.figures import (
    compare_runs,
    gradients_by_category,
    ratio_by_frequency,
    ratio_over_time,
    score_by_image_count,
)
from eql_d2.report.run import Run

OF_RECORD = (ratio_by_frequency, gradients_by_category, ratio_over_time)


def make_run(name, num_classes=6, ratio=None, num_rows=3, scores=None, score="AP", task="bbox"):
    """A third of the categories in each group; ratio (C,) at the end, half of it at the start."""
    third = np.arange(num_classes) * 3 // num_classes
    ratio = np.array([1.0, 0.2, 0.0])[third] if ratio is None else np.asarray(ratio)
    categories = [
        {"name": f"c{i}", "group": "fcr"[k], "image_count": (500, 50, 5)[k], "instance_count": None}
        for i, k in enumerate(third)
    ]
    ratios = (np.linspace(0.5, 1, num_rows)[:, None] * ratio).astype(np.float32)
    losses = {
        "first": LossRecord(10 * np.ones_like(ratios), np.ones_like(ratios), 10 + 0 * ratios),
        "last": LossRecord(ratios, np.ones_like(ratios), ratios),
    }
    scores = 10.0 * third if scores is None else scores
    table = [{"id": i, **c, score: s} for i, (c, s) in enumerate(zip(categories, scores))]
    iterations = 100 * np.arange(1, num_rows + 1)
    record = GradientRecordData(iterations, losses, categories, {}, True)
    return Run(name, Path(name), record, tables={task: table})


def rendered(figure, tmp_path):
    """Size of the file: that it can be drawn at all."""
    assert figure.alternative.count("\n") == 0 and figure.alternative.endswith(".")
    figure.figure.savefig(tmp_path / "figure.svg")
    return (tmp_path / "figure.svg").stat().st_size


@pytest.mark.parametrize("num_classes", [1, 5, 1203, 8142])
@pytest.mark.parametrize("num_rows", [1, 40])
def test_any_number_of_categories_and_rows_can_be_drawn(num_classes, num_rows, tmp_path):
    scores = [None, *np.linspace(0, 50, num_classes - 1)]
    run = make_run("a $run_", num_classes, num_rows=num_rows, scores=scores)
    for draw in (*OF_RECORD, score_by_image_count):
        assert rendered(draw([run]), tmp_path) < 1e6
    assert rendered(compare_runs([run, run]), tmp_path) < 1e6


def test_alternative_texts_say_what_the_figures_show():
    baseline, equalized = make_run("CE"), make_run("EQL v2", ratio=np.full(6, 0.9))
    text = ratio_by_frequency([baseline, equalized]).alternative
    assert "CE, at iteration 300: frequent 1.00, common 0.20, rare 0.00" in text
    assert "EQL v2, at iteration 300: frequent 0.90, common 0.90, rare 0.90" in text
    text = gradients_by_category([baseline]).alternative
    assert "CE: frequent 1, common 5, rare unknown (without positive: 2)" in text
    text = ratio_over_time([baseline]).alternative
    assert "CE: frequent 0.50 to 1.00, common 0.10 to 0.20, rare 0.00 to 0.00" in text
    text = score_by_image_count([baseline]).alternative
    assert (
        text.startswith("box AP of each category") and "CE: 16.7 and 3.3" in text
    )  # the rare ones score 20 here
    better = make_run("B", scores=[0, 0, 12, 12, 25, None])
    text = compare_runs([baseline, better]).alternative
    assert "means are all 10.0, frequent 0.0, common 10.0, rare 20.0" in text
    assert "Difference of B: all -0.2, frequent +0.0, common +2.0, rare +5.0; 3 of 5" in text


def test_each_run_has_its_panel_with_the_same_axis():
    for draw in (*OF_RECORD, score_by_image_count):
        axes = draw([make_run("A"), make_run("B"), make_run("C")]).figure.axes[:3]
        assert [axis.get_title() for axis in axes] == ["A", "B", "C"]
        assert len({axis.get_ylim() for axis in axes}) == 1


def test_groups_bear_the_names_of_the_task():
    for task, names in (
        ("bbox", ("frequent", "common", "rare")),
        ("classification", ("many", "medium", "few")),
        ("my_val/sem_seg", ("head", "common", "tail")),
    ):
        runs = [make_run(name, task=task) for name in "AB"]
        for draw in (*OF_RECORD, compare_runs):
            drawn = draw(runs)
            labels = [label for axis in drawn.figure.axes for label in axis.get_xticklabels()]
            shown = {label.get_text().split("\n")[0] for label in labels}
            assert draw is ratio_over_time or shown >= set(names)
            assert all(f" {name} " in drawn.alternative for name in names)
            assert ("rare" in drawn.alternative) == (task == "bbox")


def test_eleven_runs_can_be_told_apart(tmp_path):
    runs = [make_run(f"softmax_eql_{i}/seed1", 40, scores=np.arange(40.0) + i) for i in range(11)]
    figure = compare_runs(runs).figure
    rows, points = figure.axes
    assert [label.get_text() for label in rows.get_yticklabels()] == [run.name for run in runs]
    styles = {
        (line.get_color(), line.get_linestyle())
        for line in points.lines
        if line.get_label()[0] != "_"
    }
    assert len(styles) == 10
    for drawn in [compare_runs(runs), *(draw(runs) for draw in OF_RECORD)]:
        rendered(drawn, tmp_path)
        figure = drawn.figure
        frames = [axis.get_window_extent() for axis in figure.axes]
        legends = figure.legends + [a.get_legend() for a in figure.axes if a.get_legend()]
        assert legends and not any(
            legend.get_window_extent().overlaps(frame) for legend in legends for frame in frames
        )


def test_a_group_without_a_score_is_not_said_to_have_zero(tmp_path):
    scores = [10.0, 12, None, None, 3, 4]
    drawn = compare_runs([make_run("A", scores=scores), make_run("B", scores=scores)])
    assert "means are all 7.2, frequent 11.0, common without score, rare 3.5" in drawn.alternative
    labels = [t.get_text() for t in drawn.figure.axes[0].texts]
    assert labels == 2 * ["7.2", "11.0", "", "3.5"]
    rendered(drawn, tmp_path)


def test_loss_and_iterations_can_be_chosen():
    run = make_run("A")
    assert "frequent 1.00, common 0.20" in ratio_by_frequency([run]).alternative  # the last loss
    assert "common 1.00, rare 1.00" in ratio_by_frequency([run], loss="first").alternative
    with pytest.raises(InputError, match="A has no record of loss 'x': it has first, last"):
        ratio_over_time([run], loss="x")
    (legend,) = ratio_by_frequency([run], iterations=[190, 220]).figure.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["200"]


def test_a_ratio_without_any_gradient_is_not_drawn_and_a_large_one_is_cut():
    run = make_run("A", ratio=[100.0, 7, 1, 1, 0, 0])
    values = run.record.losses["last"]
    values.pos_grad[:, 0] = values.neg_grad[:, 0] = 0
    points = ratio_by_frequency([run], iterations=[300]).figure.axes[0].lines[0].get_ydata()
    np.testing.assert_array_equal(points, [np.nan, 2, 1, 1, 0, 0])


def test_without_a_record_the_scores_are_drawn_all_the_same(tmp_path):
    run = make_run("A")
    run.record = None
    rendered(score_by_image_count([run]), tmp_path)
    assert "rare +0.0" in compare_runs([run, run]).alternative
    for row in run.tables["bbox"]:
        del row["image_count"]
    with pytest.raises(InputError, match="training images of the categories of A are not known"):
        score_by_image_count([run])


def test_what_does_not_fit_together_is_one_clear_line():
    run, other = make_run("A"), make_run("B", num_classes=9)
    with pytest.raises(InputError, match="A has no scores of 'segm': it has bbox"):
        score_by_image_count([run], "segm")
    with pytest.raises(InputError, match="B and A are scored on different categories in bbox"):
        compare_runs([run, other])
    run.tables["bbox"].pop()
    with pytest.raises(InputError, match="scored on 5 categories in bbox, but its .* has 6"):
        score_by_image_count([run])


def test_accuracy_and_iou_are_scores_too():
    run = make_run("A", score="accuracy", task="classification")
    assert score_by_image_count([run]).title == "accuracy and training images"
    runs = [make_run(name, score="IoU", task="my_val/sem_seg") for name in "AB"]
    assert compare_runs(runs).title == "my_val IoU against A"


def test_order_is_by_group_then_images():
    groups, counts = "rfcfr", [3, 200, 50, 900, 9]
    categories = [{"group": g, "image_count": n} for g, n in zip(groups, counts)]
    assert category_order(categories).tolist() == [3, 1, 2, 4, 0]


def test_running_mean_keeps_a_constant_ignores_nan_and_narrows_at_the_ends():
    positions, mean = smooth(np.full(1203, 0.25))
    assert (mean == 0.25).all() and (positions[0], positions[-1]) == (0, 1202)
    values = np.arange(480.0)
    values[200] = np.nan
    positions, mean = smooth(values)
    at = dict(zip(positions.tolist(), mean))
    assert at[0] == np.arange(21).mean() and at[479] == np.arange(459, 480).mean()
    inside = {p: m for p, m in at.items() if 20 <= p < 460 and not 180 <= p <= 220}
    assert all(m == pytest.approx(p) for p, m in inside.items())
    assert np.isnan(smooth(np.full(3, np.nan))[1]).all()

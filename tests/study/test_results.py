"""Means, differences and intervals against values computed by hand."""

import json
import math
from itertools import product

import numpy as np
import pytest

from eql_d2 import InputError
from eql_d2.report.metrics import read_metrics
from eql_d2.study.plan import Trial
from eql_d2.study.results import (
    Outcome,
    bootstrap_interval,
    metrics_of,
    summarize,
)


def outcomes(values):
    """Of ``{run: {seed: AP or None for a failure}}``."""
    return [
        Outcome(
            Trial(run, seed, None, (), "", 0),
            {},
            {} if ap is None else {"bbox/AP": ap},
            "exit 1: no" if ap is None else "",
        )
        for run, by_seed in values.items()
        for seed, ap in by_seed.items()
    ]


def test_differences_are_paired_by_seed():
    values = {"a": {1: 10.0, 2: 20.0, 3: 30.0}, "b": {1: 11.0, 2: 23.0, 3: 32.0}}
    base, other = summarize(outcomes(values), "a")
    assert (base.run, base.metric, base.mean, base.deviation, base.count) == (
        ("a", "bbox/AP", 20.0, 10.0, 3)
    )
    assert math.isnan(base.difference) and base.pairs == 0
    # Of 22 the squares of -11, 1 and 10 are 222 in all, over 2
    assert (other.mean, other.deviation) == (22.0, pytest.approx(math.sqrt(111)))
    assert (other.difference, other.pairs) == (2.0, 3)
    assert (other.low, other.high) == bootstrap_interval([1.0, 3.0, 2.0])


def test_only_seeds_that_both_runs_have_are_compared():
    values = {"a": {1: 10.0, 2: None, 3: 30.0}, "b": {1: 11.0, 2: 99.0, 3: None}}
    base, other = summarize(outcomes(values), "a")
    assert (base.mean, base.count) == (20.0, 2)
    assert (other.mean, other.count, other.difference, other.pairs) == (55.0, 2, 1.0, 1)
    assert math.isnan(other.low) and math.isnan(other.high)


def test_one_seed_has_neither_deviation_nor_interval():
    _, other = summarize(outcomes({"a": {1: 10.0}, "b": {1: 7.0}}), "a")
    assert (other.difference, other.pairs) == (-3.0, 1)
    assert math.isnan(other.deviation) and math.isnan(other.low)


def test_a_baseline_that_failed_leaves_the_means():
    (other,) = summarize(outcomes({"a": {1: None}, "b": {1: 7.0}}), "a")
    assert (other.run, other.mean, other.pairs) == ("b", 7.0, 0)
    assert math.isnan(other.difference)


@pytest.mark.parametrize("values", [[1.0, 3.0], [-2.0, 0.5, 7.0, 1.0], [0.0, 1.0, 2.0, 4.0, 8.0]])
def test_the_interval_is_that_of_all_resamples(values):
    """n ** n of them, all equally likely: quantiles of their means, by complete enumeration."""
    means = [np.mean(chosen) for chosen in product(values, repeat=len(values))]
    low, high = np.percentile(means, (2.5, 97.5), method="inverted_cdf")
    spread = np.std(means)
    assert bootstrap_interval(values) == pytest.approx((low, high), abs=0.1 * spread)
    assert bootstrap_interval(values) == bootstrap_interval(values)


def test_the_interval_of_three_is_their_range():
    """A resample of one value only has probability 1/27, above 2.5%."""
    assert bootstrap_interval([2.0, 5.0, 3.0]) == (2.0, 5.0)
    assert bootstrap_interval([4.0, 4.0]) == (4.0, 4.0)
    assert all(map(math.isnan, bootstrap_interval([4.0])))
    assert all(map(math.isnan, bootstrap_interval([])))


def write_evaluation(folder, dataset, results):
    path = folder / "inference" / dataset / "evaluation.json"
    path.parent.mkdir(parents=True)
    content = {"dataset": dataset, "evaluator": "", "versions": {}, "groups": {}, "version": 1}
    path.write_text(json.dumps({**content, "results": results}))
    return path


def test_numbers_of_a_trial_are_results_last_ratios_and_the_median_time(tmp_path):
    results = {"segm": {"AR": 1.0, "APf": 3.0, "AP": 2.0, "APr": None}, "box_proposals": {"AR": 1}}
    write_evaluation(tmp_path, "val", results)
    lines = [
        {"iteration": 1, "time": 9.0, "gradient_ratio/rare": 0.1, "gradient_ratio/common": 0.2},
        {"iteration": 3, "time": 2.0, "gradient_ratio/rare": 0.3, "gradient_ratio/common": 0.4},
        {"iteration": 4, "time": 1.0, "gradient_ratio/starving": 0.5},
    ]
    lines[1]["gradient_ratio/frequent"] = 0.6
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (tmp_path / "metrics.json").write_text(text + '{"iteration": 5, "tim')
    assert list(metrics_of(tmp_path).items()) == [
        ("segm/AP", 2.0),
        ("segm/APf", 3.0),
        ("gradient_ratio/rare", 0.3),
        ("gradient_ratio/common", 0.4),
        ("gradient_ratio/frequent", 0.6),
        ("seconds_per_step", 2.0),
    ]
    # Neither a text for a time, nor half a line
    (tmp_path / "metrics.json").write_text(text + '{"iteration": 5, "time": "2"}\n{"iterat')
    assert metrics_of(tmp_path)["seconds_per_step"] == 2.0
    assert read_metrics(tmp_path) == (lines, [4, 5])
    assert metrics_of(tmp_path / "nothing") == {}


def test_several_test_sets_are_told_apart_and_damage_is_named(tmp_path):
    for name in ("one", "two"):
        path = write_evaluation(tmp_path, name, {"classification": {"top1": len(name)}})
    assert list(metrics_of(tmp_path)) == ["one/classification/top1", "two/classification/top1"]
    path.write_text('{"version": 1')
    with pytest.raises(InputError, match="is not valid JSON"):
        metrics_of(tmp_path)

"""A part of the fuzz of whole runs: all of it is ``python -m tests.fuzz``."""

import pytest

from tests.fuzz.__main__ import KINDS
from tests.fuzz.runner import OK, ONE_LINE, count_ends, run_cases


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "count"),
    [("config values", 20), ("config files", 15), ("command lines", 15), ("checkpoints", 10)],
)
def test_bad_configs_and_checkpoints_end_in_success_or_one_line(kind, count):
    results = run_cases(KINDS[kind][0](seed=20261127), count)
    bad = [result for result in results if result.end not in (OK, ONE_LINE)]
    assert not bad, "\n".join(
        f"{kind}, {result.name}: {result.end}\n{result.detail}" for result in bad
    )
    assert count_ends(results)[ONE_LINE] > count / 3

"""The benchmark of GPUs runs: in small and on the CPU."""

import pytest
import torch

from eql_d2 import EQLv2, SoftmaxEQL
from tests.benchmarks.cuda import efl_case, measure, rows_case

CPU = torch.device("cpu")


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [
        lambda: efl_case(CPU, torch.float32, 7, 2, [(4, 4), (2, 2)], with_kernels=True),
        lambda: rows_case(EQLv2, CPU, torch.float32, (40, 8), with_kernels=True),
        lambda: rows_case(SoftmaxEQL, CPU, torch.float32, (2, 7, 4, 4), with_kernels=True),
    ],
    ids=["EFL", "EQLv2", "SoftmaxEQL"],
)
def test_cases_run(make):
    pytest.importorskip("triton")
    rows = measure(make(), CPU, rounds=1)
    assert rows[0]["name"] == "ours, kernels" and rows[-1]["name"].startswith("floor")
    assert all(row["median_ms"] > 0 for row in rows)

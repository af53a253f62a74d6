import subprocess
import sys
from pathlib import Path

import pytest

LOSSES = Path(__file__).parents[3] / "eql_d2/losses"

SCRIPT = """
import math, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("eql_d2", "detectron2", "fvcore"):
            raise ImportError(name)

sys.meta_path.insert(0, Absent())
sys.path.insert(0, sys.argv[1])
import pytest
import torch
import functional

logits = torch.zeros(2, 3, requires_grad=True)
loss, pos_grad, neg_grad = functional.weighted_sigmoid_cross_entropy(
    logits, torch.tensor([0, 2]), torch.ones(3), torch.ones(3)
)
loss.backward()
assert abs(loss.item() - 6 * math.log(2)) < 1e-5, loss
assert logits.grad.tolist() == [[-0.5, 0.5, 0.5], [0.5, 0.5, -0.5]], logits.grad
"""


@pytest.mark.slow
def test_functional_is_used_with_pytorch_alone():
    """As a folder of its own: without this package, Detectron2 and fvcore."""
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, str(LOSSES)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr

"""The kernels as compilers take them: Triton's, for GPUs that need not be there, and PyTorch's."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from detectron2.modeling import build_model

from eql_d2 import EFL, EQFL, EQLv2, SoftmaxEQL
from eql_d2.losses.functional import backend
from tests.conftest import as_retinanet
from tests.losses.functional.problems import TRITON, needs_triton

C = 50
PTXAS = Path(TRITON.origin).parent / "backends/nvidia/bin/ptxas" if TRITON else None


@needs_triton
@pytest.mark.skipif(TRITON and not PTXAS.exists(), reason="this Triton came without ptxas")
@pytest.mark.slow
def test_kernels_compile_for_gpus_without_spilling():
    environment = {**os.environ, "TRITON_INTERPRET": "0"}
    command = [sys.executable, "-W", "ignore", "-m", "tests.losses.functional.compiled"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 52
    assert [line for line in lines if not line.endswith(" 0 bytes spilled")] == []


def problem(cls):
    generator = torch.Generator().manual_seed(0)
    if cls in (EFL, EQFL):
        logits = [torch.randn(2, 2 * C, side, side, generator=generator) for side in (8, 4)]
        targets = torch.randint(0, C + 1, (2, 160), generator=generator)
    else:
        logits = [torch.randn(64, C + 1, generator=generator)]
        targets = torch.randint(0, C + 1, (64,), generator=generator)
    return [z.requires_grad_() for z in logits], targets


def step(loss, logits, targets):
    extra = {"quality": torch.linspace(0, 1, 320).view(2, 160)} if loss.uses_quality else {}
    given = logits if len(logits) > 1 else logits[0]
    value = loss(given, targets, **extra)
    return value, *torch.autograd.grad(value, logits), loss.statistics.pos_grad.clone()


@pytest.mark.slow
@pytest.mark.parametrize("cls", [EFL, EQFL, EQLv2, SoftmaxEQL])
@pytest.mark.parametrize("form", ["auto", pytest.param("kernels", marks=needs_triton)])
def test_torch_compile_finds_one_graph(cls, form):
    """On a CPU the dense form is compiled; a kernel is one node for the compiler."""
    torch._dynamo.reset()
    logits, targets = problem(cls)
    eager, compiled = cls(C).train(), cls(C).train()
    compiler = "inductor" if form == "auto" else "aot_eager"

    expected = step(eager, logits, targets)
    with backend(form):
        loss = torch.compile(compiled, fullgraph=True, backend=compiler)
        loss.uses_quality, loss.statistics = compiled.uses_quality, compiled.statistics
        found = step(loss, logits, targets)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["dense", pytest.param("kernels", marks=needs_triton)])
def test_heads_and_their_losses_are_one_graph(tiny_cfg, form):
    """From the features to the loss of the classes; without the data dependent losses of boxes."""
    torch._dynamo.reset()
    retinanet = build_model(as_retinanet(tiny_cfg.clone())).train()
    box_predictor = build_model(tiny_cfg).train().roi_heads.box_predictor

    def one_stage(features, targets):
        return retinanet.loss_cls(retinanet.head(features)[0], targets)

    def two_stage(features, targets):
        return box_predictor.loss_cls(box_predictor(features)[0], targets)

    features = [torch.randn(2, 16, side, side) for side in (8, 4, 2, 2, 1)]
    anchors = 3 * sum(level.shape[-1] ** 2 for level in features)
    cases = [
        (one_stage, features, torch.randint(6, (2, anchors))),
        (two_stage, torch.randn(40, 32), torch.randint(6, (40,))),
    ]
    for function, inputs, targets in cases:
        with backend(form):
            found = torch.compile(function, fullgraph=True, backend="aot_eager")(inputs, targets)
            found.backward()

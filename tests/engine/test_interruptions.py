"""A training that is interrupted again and again ends with the bits of the uninterrupted one.

``EQL_D2_INTERRUPTIONS=30 pytest tests/engine/test_interruptions.py`` interrupts 30 times.
"""

import contextlib
import os
import random
import re
import signal
import time

import pytest

from eql_d2.engine.signals import EXIT_CODE
from tests.conftest import as_retinanet
from tests.engine.interrupted import final_state, run, start, steps
from tests.engine.test_exact_resume_processes import json_data

INTERRUPTIONS = int(os.environ.get("EQL_D2_INTERRUPTIONS", 2))
NUM_STEPS, PERIOD = 12 + 4 * INTERRUPTIONS, 2


@pytest.fixture
def command(tiny_cfg, data, tmp_path, no_datasets_left):
    """Arguments of ``train_net.py`` but for the folder: a detector whose statistics weigh."""
    cfg = as_retinanet(tiny_cfg)
    cfg.DATASETS.JSON, cfg.DATASETS.TRAIN, cfg.DATASETS.TEST = (), ("a_train",), ()
    cfg.MODEL.EQL.LOG_PERIOD, cfg.SOLVER.CHECKPOINT_PERIOD = 0, PERIOD
    cfg.SOLVER.MAX_ITER, cfg.SOLVER.BASE_LR, cfg.SOLVER.CHECKPOINT_KEEP = NUM_STEPS, 0.001, 3
    cfg.MODEL.EMA.DECAY, cfg.MODEL.EMA.WARMUP = 0.9, 4
    path = tmp_path / "config.yaml"
    path.write_text(cfg.dump())
    return ["--config-file", str(path), *json_data(data)]


def checkpoints(output):
    return sorted(output.glob("model_*.pth")) if output.exists() else []


def lines(path):
    return path.read_text().count("\n") if path.exists() else 0


def written(output):
    """Checkpoints that are being written, or were when a process was killed."""
    return {(path.name, path.stat().st_ino) for path in output.glob("*.pth.tmp")}


def interrupt(children, output, notes, kind, rng, in_a_write):
    """Wait for a write or a random moment of the next steps, and send the signal to one process;
    returns whether a checkpoint was being written."""
    leftovers, before = written(output), lines(notes)
    more, wait = rng.randrange(4), rng.uniform(0, 0.2)
    while all(child.is_alive() for child in children):
        with contextlib.suppress(FileNotFoundError):  # renamed meanwhile
            if written(output) - leftovers if in_a_write else lines(notes) > before + more:
                break
        time.sleep(0.0002)
    if not in_a_write:
        time.sleep(wait)
    os.kill(rng.choice(children).pid, kind)
    for child in children:
        child.join(900)
    return bool(written(output) - leftovers)


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind, processes",
    [(signal.SIGKILL, 1), (signal.SIGTERM, 2), *[(signal.SIGTERM, 1)] * (INTERRUPTIONS > 2)],
)
def test_the_end_is_that_of_the_uninterrupted_run(command, tmp_path, kind, processes):
    rng = random.Random(0)
    whole, output = tmp_path / "whole", tmp_path / "interrupted"
    run([*command, "OUTPUT_DIR", str(whole)], f"{whole}.notes", processes=processes)
    notes, in_writes = tmp_path / "interrupted.notes.0", 0
    for i in range(INTERRUPTIONS):
        newest = checkpoints(output)[-1:]
        parts = [*command, "--resume", "OUTPUT_DIR", str(output)]
        children = start(parts, str(output) + ".notes", processes=processes)
        in_a_write = kind == signal.SIGKILL and i % 2 == 0
        in_writes += interrupt(children, output, notes, kind, rng, in_a_write)
        log = (tmp_path / "interrupted.notes.0.log").read_text()
        expected = -signal.SIGKILL if kind == signal.SIGKILL else EXIT_CODE
        assert [child.exitcode for child in children] == [expected] * processes, log[-3000:]
        begun = int(re.search(r"Starting training from iteration (\d+)", log)[1])
        saved = int(newest[0].stem[-7:]) + 1 if newest else 0
        assert begun >= saved  # a file that was renamed but not yet tagged counts, too
    run([*command, "--resume", "OUTPUT_DIR", str(output)], f"{output}.notes", processes=processes)
    print(f"{INTERRUPTIONS} interruptions, {in_writes} left a checkpoint half written")

    assert not list(output.glob("*.tmp"))
    for rank in range(processes):
        assert steps(f"{output}.notes", rank) == steps(f"{whole}.notes", rank)
    expected, found = final_state(whole), final_state(output)
    assert found.keys() == expected.keys()
    assert [name for name, value in expected.items() if found[name] != value] == []

"""The record survives what happens to long trainings: kills, torn writes, bad disks."""

import json
import logging
import multiprocessing as mp
import os
import random
import signal
import time
import types

import numpy as np
import pytest
import torch
from detectron2.utils.events import EventStorage

from eql_d2 import InputError
from eql_d2.engine.hooks import GradientRatioHook
from eql_d2.gradient_record import GradientRecord, read_record
from eql_d2.losses import GradientStatistics

LOSSES = {"stage0.loss": 4, "stage1.loss": 4}
CATEGORIES = [
    {"name": f"c{i}", "group": "rcff"[i], "image_count": 10**i, "instance_count": None}
    for i in range(4)
]


def values(iteration):
    return {
        path: np.arange(12.0).reshape(3, 4) + 100 * iteration + index
        for index, path in enumerate(LOSSES)
    }


def write(folder, iterations, start_iter=0, losses=LOSSES):
    record = GradientRecord(folder, losses, CATEGORIES, start_iter)
    for iteration in iterations:
        record.append(iteration, {path: values(iteration)["stage0.loss"] for path in losses})
    return record


@pytest.fixture
def record_log():
    """Warnings of the record; Detectron2's log set-up may hide them from pytest's own capture."""
    lines = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: lines.append(record.getMessage())
    logger = logging.getLogger("eql_d2.gradient_record")
    logger.addHandler(handler)
    yield lines
    logger.removeHandler(handler)


def test_is_read_as_written_and_by_numpy_alone(tmp_path):
    record = GradientRecord(tmp_path, LOSSES, CATEGORIES, 0)
    for iteration in (10, 20, 25):
        record.append(iteration, values(iteration))
    data = read_record(tmp_path)
    assert data.iterations.tolist() == [10, 20, 25] and data.categories == CATEGORIES
    assert {"python", "torch", "numpy", "detectron2", "eql_d2"} == set(data.versions)
    assert data.is_complete
    for path in LOSSES:
        for t, iteration in enumerate((10, 20, 25)):
            found = [array[t] for array in data.losses[path]]
            np.testing.assert_array_equal(found, values(iteration)[path])

    header = json.loads((tmp_path / "gradient_record.json").read_text())
    names = [("pos_grad", "<f4"), ("neg_grad", "<f4"), ("ratio", "<f4")]
    losses = [(path, [(*n, (size,)) for n in names]) for path, size in header["losses"].items()]
    dtype = [("iteration", "<i8"), *losses, ("checksum", "<u4")]
    rows = np.fromfile(tmp_path / "gradient_record.dat", dtype)
    np.testing.assert_array_equal(rows["stage1.loss"]["ratio"], data.losses["stage1.loss"].ratio)
    # 12 bytes a class and loss, and 12 a row
    assert (tmp_path / "gradient_record.dat").stat().st_size == 3 * (12 * 4 * 2 + 12)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "gradient_record.dat",
        "gradient_record.json",
    ]


@pytest.mark.parametrize("start_iter, kept", [(30, [10, 20, 30]), (29, [10, 20]), (0, [])])
def test_resume_keeps_the_rows_up_to_the_checkpoint(tmp_path, start_iter, kept):
    write(tmp_path, [10, 20, 30, 40])
    assert write(tmp_path, [], start_iter).last_iteration == max(kept, default=0)
    write(tmp_path, [50], max(start_iter, 1))
    assert read_record(tmp_path).iterations.tolist() == [*kept, 50]


def test_a_torn_end_is_cut_off_quietly(tmp_path, record_log):
    write(tmp_path, [10, 20, 30])
    path = tmp_path / "gradient_record.dat"
    path.write_bytes(path.read_bytes()[:-5])
    assert read_record(tmp_path).iterations.tolist() == [10, 20]
    assert not read_record(tmp_path).is_complete
    write(tmp_path, [30, 40], start_iter=20)
    assert read_record(tmp_path).iterations.tolist() == [10, 20, 30, 40]
    assert not record_log


def test_rows_from_a_damaged_one_on_are_left_out_with_one_warning(tmp_path, record_log):
    write(tmp_path, [10, 20, 30, 40])
    path = tmp_path / "gradient_record.dat"
    rows = bytearray(path.read_bytes())
    rows[2 * len(rows) // 4 + 20] ^= 1
    path.write_bytes(rows)
    assert read_record(tmp_path).iterations.tolist() == [10, 20]
    (line,) = record_log
    assert "after iteration 20 is damaged, 2 rows" in line
    write(tmp_path, [50], start_iter=40)
    assert read_record(tmp_path).iterations.tolist() == [10, 20, 50]


def test_half_a_row_of_a_full_disk_does_not_shift_the_next_ones(tmp_path):
    record = write(tmp_path, [10])
    with open(tmp_path / "gradient_record.dat", "ab") as file:
        file.write(b"half a row")
    record.append(20, values(20))
    assert read_record(tmp_path).iterations.tolist() == [10, 20]


@pytest.mark.parametrize("damage", ["other losses", "header", "no header"])
def test_a_record_that_does_not_fit_is_moved_away(tmp_path, record_log, damage):
    write(tmp_path, [10])
    header = tmp_path / "gradient_record.json"
    if damage == "header":
        header.write_text(header.read_text()[:50])
    elif damage == "no header":
        header.unlink()
    write(tmp_path, [20], 10, LOSSES if damage != "other losses" else {"loss": 4})
    assert read_record(tmp_path).iterations.tolist() == [20]
    assert len(record_log) == 1 and "moved to *.previous" in record_log[0].lower()
    assert (tmp_path / "gradient_record.dat.previous").stat().st_size == 108


def test_what_cannot_be_read_is_one_clear_line(tmp_path):
    def error():
        with pytest.raises(InputError) as caught:
            read_record(tmp_path)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "has no gradient_record.json" in error()
    write(tmp_path, [])
    assert "has no complete row" in error()
    write(tmp_path, [10, 20])
    header, rows = tmp_path / "gradient_record.json", tmp_path / "gradient_record.dat"
    good = header.read_text()
    header.write_text(good.replace(": 4", ": 5"))
    assert "losses of [5] classes but 4 categories" in error()
    header.write_text(good.replace('"version": 1', '"version": 2'))
    assert "has version 2" in error()
    for text in (good[:-1], "[]", "{}", '{"losses": [1]}'):
        header.write_text(text)
        assert "is damaged" in error()
    header.write_text(good)
    three = tmp_path / "three"
    GradientRecord(three, {"loss": 3}, CATEGORIES[:3], 0).append(1, {"loss": np.ones((3, 3))})
    rows.write_bytes(3 * (three / "gradient_record.dat").read_bytes())
    assert "another number of classes than 4" in error()


def train(folder, last, started):
    """Steps without a model around the statistics, with checkpoints, resumed from the last one."""
    statistics = GradientStatistics(300)
    model = torch.nn.ModuleDict({"loss": torch.nn.ModuleDict({"statistics": statistics})})
    checkpoint, start = folder / "checkpoint.pth", 0
    if checkpoint.exists():
        state = torch.load(checkpoint)
        start = state.pop("iteration")
        model.load_state_dict(state)
    hook = GradientRatioHook(2, folder, [dict(CATEGORIES[0])] * 300)
    hook.trainer = types.SimpleNamespace(model=model, start_iter=start, max_iter=last)
    started.set()
    hook.before_train()
    with EventStorage():
        for hook.trainer.iter in range(start, last):
            done = hook.trainer.iter + 1
            statistics.update(torch.ones(300), torch.full((300,), 2.0))
            if done % 4 == 0 or done == last:
                # Before the row of this iteration, the worse order.
                state = {"iteration": done, **model.state_dict()}
                torch.save(state, folder / "new.pth")
                os.replace(folder / "new.pth", checkpoint)
            hook.after_step()


@pytest.mark.slow
def test_killed_twenty_times_each_row_is_there_once(tmp_path):
    context = mp.get_context("forkserver")  # imports PyTorch once, not once a process
    context.set_forkserver_preload([__name__])
    rng = random.Random(0)
    ends, rows, row_size = [], tmp_path / "gradient_record.dat", 300 * 3 * 8

    def size():
        return rows.stat().st_size if rows.exists() else 0

    for _ in range(20):
        started = context.Event()
        process = context.Process(target=train, args=(tmp_path, 10**6, started))
        process.start()
        enough = size() + rng.uniform(0, 30) * row_size
        assert started.wait(900)
        while size() < enough and process.is_alive():
            time.sleep(0.001)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert process.exitcode == -signal.SIGKILL
        checkpoint = tmp_path / "checkpoint.pth"
        ends.append(torch.load(checkpoint)["iteration"] if checkpoint.exists() else 0)
    assert len(set(ends)) > 10  # it came forward, and was killed at many places
    last = ends[-1] + 25
    process = context.Process(target=train, args=(tmp_path, last, started))
    process.start()
    process.join()
    assert process.exitcode == 0

    data = read_record(tmp_path)
    expected = sorted({*range(2, last, 2), last})
    assert data.iterations.tolist() == expected
    for t, iteration in enumerate(expected):
        pos_grad, neg_grad, ratio = (array[t] for array in data.losses["loss"])
        assert (pos_grad == iteration).all() and (neg_grad == 2 * iteration).all()
        assert (ratio == 0.5).all()

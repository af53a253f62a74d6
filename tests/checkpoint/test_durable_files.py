"""Checkpoint files at each moment of a write, and what of them stays."""

import itertools
import os
import subprocess

import numpy as np
import pytest
import torch
from torch import nn

from eql_d2 import TrainingError
from eql_d2.checkpoint import EQLCheckpointer, durable_files
from eql_d2.checkpoint.durable_files import (
    checksum_problem,
    remove_leftovers,
    remove_old,
    write_durably,
)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "output").mkdir()
    return tmp_path / "output"


def write(path, content):
    write_durably(path, lambda file: file.write(content))


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_checksum_is_one_that_sha256sum_takes(folder):
    write(folder / "model_0000001.pth", b"weights")
    command = ["sha256sum", "-c", "--strict", "model_0000001.pth.sha256"]
    assert subprocess.run(command, cwd=folder, capture_output=True).returncode == 0
    assert checksum_problem(folder / "model_0000001.pth") is None
    (folder / "model_0000001.pth").write_bytes(b"weighty")
    assert "checksum" in checksum_problem(folder / "model_0000001.pth")
    assert subprocess.run(command, cwd=folder, capture_output=True).returncode == 1


def write_killed_at(call, path, content):
    """Write in a process that ends at the call of this number that changes the disk, before it is
    made; whether it got that far."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9
    calls = itertools.count(1)

    def counted(function):
        def run(*args, **kwargs):
            if next(calls) == call:
                os._exit(9)
            return function(*args, **kwargs)

        return run

    for name in ("fsync", "replace", "unlink", "remove"):
        setattr(os, name, counted(getattr(os, name)))
    try:
        write(path, content)
    finally:
        os._exit(0)


@pytest.mark.parametrize("is_new", [True, False])
def test_a_kill_at_any_moment_leaves_the_whole_old_or_the_whole_new_file(folder, is_new):
    path, seen = folder / "model_best.pth", set()
    for call in itertools.count(1):
        for old in folder.iterdir():
            old.unlink()
        if not is_new:
            write(path, b"old")
        is_killed = write_killed_at(call, path, b"new")
        content = path.read_bytes() if path.exists() else None
        assert content in (b"new", None if is_new else b"old")
        assert content is None or checksum_problem(path) is None
        seen.add(content)
        remove_leftovers(folder)
        assert set(names(folder)) <= {path.name, f"{path.name}.sha256"}
        if not is_killed:
            break
    assert call > 6 and len(seen) == 2
    assert names(folder) == [path.name, f"{path.name}.sha256"]


class FullDisk:
    def __init__(self, file, free):
        self.file, self.free = file, free

    def write(self, data):
        self.free -= len(data)
        if self.free < 0:
            raise OSError(28, "No space left on device")
        return self.file.write(data)


@pytest.mark.parametrize("free", [0, 3000, 30_000])
def test_a_full_disk_leaves_what_there_was(folder, monkeypatch, free):
    model = nn.Linear(100, 100)
    checkpointer = EQLCheckpointer(model, str(folder))
    checkpointer.save("model_0000001", iteration=1)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    hashing = durable_files._HashingWriter
    monkeypatch.setattr(durable_files, "_HashingWriter", lambda file: hashing(FullDisk(file, free)))
    for name in ("model_0000001", "model_0000002"):
        with pytest.raises(TrainingError, match=r"written \(No space left.*free some sp") as error:
            checkpointer.save(name, iteration=2)
        assert "\n" not in str(error.value)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_the_newest_are_kept_also_of_earlier_processes(folder):
    def save(*iterations):
        checkpointer = EQLCheckpointer(nn.Linear(1, 1), str(folder), keep=2)
        for iteration in iterations:
            checkpointer.save(f"model_{iteration:07d}", iteration=iteration)

    checkpointer = EQLCheckpointer(nn.Linear(1, 1), str(folder))
    for name in ("model_final", "model_best", "other_0000001"):
        checkpointer.save(name)
    save(1, 2, 3)
    save(4)
    others = ["model_best.pth", "model_final.pth", "other_0000001.pth"]
    kept = [*others, "model_0000003.pth", "model_0000004.pth"]
    found = names(folder)
    assert [name for name in found if name.endswith(".pth")] == sorted(kept)
    assert [name for name in found if name.endswith(".sha256")] == [
        f"{name}.sha256" for name in sorted(kept)
    ]


def test_what_was_just_saved_is_never_removed(folder):
    """Those after it are broken, or of another training."""
    for iteration in (1, 2, 8, 9):
        write(folder / f"model_{iteration:07d}.pth", b"")
    remove_old(folder, "model_0000002.pth", 1)
    left = [f"model_{iteration:07d}.pth" for iteration in (2, 8, 9)]
    assert [name for name in names(folder) if name.endswith(".pth")] == left
    remove_old(folder, "model_0000009.pth", 0)
    remove_old(folder, "model_final.pth", 1)
    assert [name for name in names(folder) if name.endswith(".pth")] == left


def test_leftovers_of_a_killed_process_are_removed_and_nothing_else(folder):
    write(folder / "model_0000001.pth", b"whole")
    keep = ["model_0000001.pth", "model_0000001.pth.sha256", "notes.tmp", "data.sha256", "a.pth"]
    leftovers = ["model_0000002.pth.tmp", "a.pth.sha256.tmp", "last_checkpoint.tmp", "b.pth.sha256"]
    for name in (*keep[2:], *leftovers):
        (folder / name).touch()
    EQLCheckpointer(nn.Linear(1, 1), str(folder), save_to_disk=False).remove_leftovers()
    assert names(folder) == sorted([*keep, *leftovers])  # another process than the main one
    EQLCheckpointer(nn.Linear(1, 1), str(folder)).remove_leftovers()
    assert names(folder) == sorted(keep)
    EQLCheckpointer(nn.Linear(1, 1), str(folder / "nowhere")).remove_leftovers()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("where", ["model", "optimizer"])
def test_what_is_not_finite_is_never_saved(folder, value, where):
    model = nn.Linear(3, 3)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    checkpointer = EQLCheckpointer(model, str(folder), optimizer=optimizer)
    checkpointer.save("model_0000001", iteration=1)
    before = names(folder)
    tensor = model.weight.data
    if where == "optimizer":
        tensor = optimizer.state[model.weight]["momentum_buffer"]
    tensor[1, 1] = value
    with pytest.raises(TrainingError, match=rf"{where}\..*--resume from model_0000001.pth"):
        checkpointer.save("model_0000002", iteration=2)
    assert names(folder) == before
    assert (folder / "last_checkpoint").read_text() == "model_0000001.pth"


def test_what_could_not_be_loaded_again_is_never_saved(folder):
    class Counting:
        def state_dict(self):
            return {"best": np.float64(0.5)}

    checkpointer = EQLCheckpointer(nn.Linear(1, 1), str(folder), trainer=Counting())
    with pytest.raises(TrainingError, match="could not be resumed from.*scalar"):
        checkpointer.save("model_0000001", iteration=1)
    assert not names(folder)


def test_a_sum_that_overflows_is_finite(folder):
    model = nn.Linear(3, 3)
    model.weight.data.fill_(3e38)
    EQLCheckpointer(model, str(folder)).save("model_big")
    assert (folder / "model_big.pth").exists()

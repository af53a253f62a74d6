"""What a training goes on with: the newest whole file, never a restart at 0 beside one."""

import logging

import pytest
import torch
from detectron2.checkpoint import DetectionCheckpointer
from torch import nn

from eql_d2 import InputError
from eql_d2.checkpoint import EQLCheckpointer


class Training:
    """Stands for a trainer."""

    def state_dict(self):
        return {"iteration": 0}

    def load_state_dict(self, state):
        pass


@pytest.fixture
def folder(tmp_path):
    """Three checkpoints, the last of which is tagged."""
    for iteration in (1, 2, 3):
        save(EQLCheckpointer, tmp_path, iteration)
    return tmp_path


def save(kind, folder, iteration, name=None, value=None):
    model = nn.Linear(1, 1)
    nn.init.constant_(model.weight, iteration if value is None else value)
    checkpointer = kind(model, str(folder), trainer=Training())
    checkpointer.save(name or f"model_{iteration:07d}", iteration=iteration)


def resumed(folder, caplog=None):
    """Iteration of what is resumed from, or None from the start; the lines that say so."""
    model = nn.Linear(1, 1)
    checkpointer = EQLCheckpointer(model, str(folder), trainer=Training())
    with caplog.at_level(logging.WARNING) if caplog else torch.no_grad():
        extra = checkpointer.resume_or_load("", resume=True)
    if extra:
        assert model.weight.item() == extra["iteration"]
    return extra.get("iteration")


def flip_bytes(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)


def cut(path):
    path.write_bytes(path.read_bytes()[:700])
    path.with_name(f"{path.name}.sha256").unlink()  # as those of Detectron2


def test_the_tagged_file_is_taken_quietly(folder, caplog):
    assert resumed(folder, caplog) == 3
    (folder / "last_checkpoint").write_text("model_0000002.pth\n")
    assert resumed(folder, caplog) == 2
    assert not caplog.records


@pytest.mark.parametrize("harm", [flip_bytes, cut, lambda path: path.write_bytes(b"")])
def test_a_damaged_file_is_passed_over_with_one_line(folder, caplog, harm):
    harm(folder / "model_0000003.pth")
    assert resumed(folder, caplog) == 2
    (line,) = [record.getMessage() for record in caplog.records]
    assert "\n" not in line and "Resuming from" in line and "not from model_0000003.pth" in line


@pytest.mark.parametrize(
    ("tag", "reason"),
    [
        ("", "is empty"),
        ("model_0000009.pth", "which is not there"),
        ("../model_0000001.pth", "not a file of this folder"),
        ("/etc/passwd", "not a file of this folder"),
        ("evil.pkl", "no .pth file"),
    ],
)
def test_a_bad_tag_is_passed_over_with_one_line(folder, caplog, tag, reason):
    (folder / "last_checkpoint").write_text(tag)
    assert resumed(folder, caplog) == 3
    (line,) = [record.getMessage() for record in caplog.records]
    assert "last_checkpoint" in line and reason in line


def test_without_a_tag_the_highest_iteration_is_taken(folder):
    (folder / "last_checkpoint").unlink()
    assert resumed(folder) == 3
    save(EQLCheckpointer, folder, 2, "model_best")
    save(EQLCheckpointer, folder, 10_000_000)
    save(EQLCheckpointer, folder, 10_000_001, "model_final")
    torch.save({"model": {}}, folder / "pretrained.pth")
    (folder / "last_checkpoint").unlink()
    assert resumed(folder) == 10_000_001
    (folder / "model_final.pth").unlink()
    assert resumed(folder) == 10_000_000


def test_files_of_detectron2_are_resumed_from_unless_they_hold_nan(folder, caplog):
    save(DetectionCheckpointer, folder, 4)
    assert resumed(folder, caplog) == 4 and not caplog.records
    save(DetectionCheckpointer, folder, 5, value=float("nan"))
    assert resumed(folder, caplog) == 4
    assert "NaN or infinity in model.weight" in caplog.text


def test_a_folder_of_broken_files_is_an_error(folder):
    for path in folder.glob("*.pth"):
        flip_bytes(path)
    with pytest.raises(InputError, match="no whole checkpoint in .*model_0000003.pth") as error:
        resumed(folder)
    assert "\n" not in str(error.value) and "model_0000001.pth" in str(error.value)
    for path in folder.glob("*.pth"):
        path.unlink()
    with pytest.raises(InputError, match="last_checkpoint, which names.*not there"):
        resumed(folder)


def test_a_folder_without_checkpoints_starts_from_the_weights(tmp_path):
    assert resumed(tmp_path) is None
    assert resumed(tmp_path / "nowhere") is None
    torch.save({"model": nn.Linear(1, 1).state_dict()}, tmp_path / "pretrained.pth")
    (tmp_path / "model_0000001.pth.tmp").touch()
    assert resumed(tmp_path) is None


def test_weights_that_are_tagged_are_evaluated_and_not_trained_on(tmp_path):
    DetectionCheckpointer(nn.Linear(1, 1), str(tmp_path)).save("weights")
    with pytest.raises(InputError, match="holds no state of a training"):
        resumed(tmp_path)
    EQLCheckpointer(nn.Linear(1, 1), str(tmp_path)).resume_or_load("", resume=True)


def test_a_trainer_that_does_not_fit_is_one_line(folder):
    class Other(Training):
        def load_state_dict(self, state):
            raise ValueError("loaded state dict has a different number of parameter groups")

    checkpointer = EQLCheckpointer(nn.Linear(1, 1), str(folder), trainer=Other())
    with pytest.raises(InputError, match="different number of parameter groups.*the one it was"):
        checkpointer.resume_or_load("", resume=True)

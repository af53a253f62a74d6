"""No file runs code, and the files of Detectron2's zoo load."""

import os
import pickle

import numpy as np
import pytest
import torch
from detectron2.structures import BoxMode
from torch import nn

from eql_d2 import InputError
from eql_d2.checkpoint import EQLCheckpointer, check_proposals
from eql_d2.engine import Trainer


class Evil:
    def __init__(self, trace):
        self.trace = str(trace)

    def __reduce__(self):
        return os.mkdir, (self.trace,)


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = nn.Linear(3, 2)


def of_zoo():
    weights = {
        "backbone.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
        "backbone.bias": np.float32([7, 8]),
    }
    return {"model": weights, "__author__": "Detectron2 Model Zoo", "step": np.int64(3)}


def dumped(content, protocol, numpy):
    """A pickle as NumPy 1 or 2 writes it."""
    found = pickle.dumps(content, protocol)
    names = [b"numpy._core", b"numpy.core"]
    old, new = names if numpy == 1 else names[::-1]
    if old not in found:
        return found
    assert protocol < 4 or b"\x8c" in found
    for module in (b".multiarray", b".numeric"):
        if protocol < 4:  # names end with a line break, from protocol 4 on they have a length
            found = found.replace(b"c" + old + module, b"c" + new + module)
        else:
            length = [b"\x8c" + bytes([len(name + module)]) for name in (old, new)]
            found = found.replace(length[0] + old + module, length[1] + new + module)
    # The lengths of the frames of protocol 4 no longer hold: read without them.
    return found if protocol < 4 else b"\x80" + bytes([protocol]) + found[11:]


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("numpy", [1, 2])
def test_files_of_the_zoo_load(tmp_path, protocol, numpy):
    content = dumped(of_zoo(), protocol, numpy)
    assert (b"numpy.core" in content) == (numpy == 1)
    (tmp_path / "zoo.pkl").write_bytes(content)
    model = Model()
    EQLCheckpointer(model).load(str(tmp_path / "zoo.pkl"))
    assert model.backbone.weight.flatten().tolist() == list(range(6))
    assert model.backbone.bias.tolist() == [7, 8]


def test_files_of_detectron_load(tmp_path):
    weights = {"backbone_w": np.ones((2, 3), "float32"), "backbone_b": np.ones(2, "float32")}
    momentum = {f"{name}_momentum": value for name, value in weights.items()}
    content = {"blobs": weights | momentum}
    (tmp_path / "caffe2.pkl").write_bytes(pickle.dumps(content, 2))
    model = Model()
    EQLCheckpointer(model).load(str(tmp_path / "caffe2.pkl"))
    assert model.backbone.weight.sum() == 6


def write(path, content):
    if path.suffix == ".pkl":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path)


@pytest.mark.parametrize("name", ["evil.pkl", "evil.pth", "evil.pyth"])
@pytest.mark.parametrize("forced", [False, True])
def test_code_in_a_file_is_not_run(tmp_path, monkeypatch, name, forced):
    if forced:
        monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    write(tmp_path / name, {"model": {}, "model_state": {}, "x": Evil(tmp_path / "ran")})
    with pytest.raises(InputError, match="holds posix.mkdir, and what is no tensor") as error:
        EQLCheckpointer(Model()).load(str(tmp_path / name))
    assert "\n" not in str(error.value) and f"TRUST_PICKLE={tmp_path / name}" in str(error.value)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["own.pkl", "own.pth"])
def test_a_file_that_is_trusted_by_name_is_loaded_and_no_other(tmp_path, monkeypatch, name):
    for name_ in (name, f"other_{name}"):
        write(tmp_path / name_, {**of_zoo(), "x": Evil(tmp_path / f"{name_}_ran")})
    monkeypatch.setenv("EQL_D2_TRUST_PICKLE", os.pathsep.join(["/nowhere", str(tmp_path / name)]))
    EQLCheckpointer(Model()).load(str(tmp_path / name))
    assert (tmp_path / f"{name}_ran").exists()
    with pytest.raises(InputError, match="could run code"):
        EQLCheckpointer(Model()).load(str(tmp_path / f"other_{name}"))


@pytest.mark.parametrize("content", [b"", b"no pickle", pickle.dumps(of_zoo())[:100]])
def test_a_damaged_pickle_is_refused(tmp_path, content):
    (tmp_path / "cut.pkl").write_bytes(content)
    with pytest.raises(InputError, match="cut.pkl' cannot be read.*copy it again"):
        EQLCheckpointer(Model()).load(str(tmp_path / "cut.pkl"))


def test_an_evil_tag_runs_nothing(tmp_path):
    write(tmp_path / "evil.pkl", {"x": Evil(tmp_path / "ran")})
    (tmp_path / "last_checkpoint").write_text("evil.pkl")
    with pytest.raises(InputError, match="names 'evil.pkl', no .pth file"):
        EQLCheckpointer(Model(), str(tmp_path)).resume_or_load("", resume=True)
    write(tmp_path / "evil.pth", {"x": Evil(tmp_path / "ran")})
    (tmp_path / "last_checkpoint").write_text("evil.pth")
    with pytest.raises(InputError, match="evil.pth, which is refused"):
        EQLCheckpointer(Model(), str(tmp_path)).resume_or_load("", resume=True)
    assert not (tmp_path / "ran").exists()


def test_proposals(tmp_path):
    proposals = {
        "ids": [1],
        "boxes": [np.ones((2, 4))],
        "objectness_logits": [np.ones(2)],
        "bbox_mode": BoxMode.XYXY_ABS,
    }
    write(tmp_path / "good.pkl", proposals)
    check_proposals([str(tmp_path / "good.pkl")])
    write(tmp_path / "evil.pkl", {**proposals, "x": Evil(tmp_path / "ran")})
    with pytest.raises(InputError, match="could run code"):
        check_proposals([str(tmp_path / "good.pkl"), str(tmp_path / "evil.pkl")])
    assert not (tmp_path / "ran").exists()
    with pytest.raises(InputError, match="do not exist: check DATASETS.PROPOSAL_FILES"):
        check_proposals([str(tmp_path / "none.pkl")])


@pytest.mark.parametrize("key", ["PROPOSAL_FILES_TRAIN", "PROPOSAL_FILES_TEST"])
def test_the_trainer_looks_at_proposals_first(tiny_cfg, tmp_path, key):
    write(tmp_path / "evil.pkl", {"x": Evil(tmp_path / "ran")})
    tiny_cfg.MODEL.LOAD_PROPOSALS = True
    tiny_cfg.DATASETS[key] = (str(tmp_path / "evil.pkl"),)
    with pytest.raises(InputError, match="could run code"):
        Trainer(tiny_cfg)
    assert not (tmp_path / "ran").exists()

"""Pretrained backbones: random numbers in the names and forms of the published files.

They keep the features of a picture at a usual size, which a random start under frozen batch norms
does not: there each block adds to them, and ResNet-101 ends at infinity.
"""

import os
import pickle
import re
from collections.abc import Callable
from pathlib import Path

import torch
import torchvision
from torch import Tensor

from eql_d2.checkpoint.torchvision_resnet import convert_torchvision_resnet

_NORM_OF_LAST_CONV = re.compile(r"layer\d\.\d+\.bn3\.weight")
# Standard deviation of ImageNet, which the files from Caffe2 have in their first convolution
_PIXEL_STD = 57.0


def _torchvision(depth: int) -> dict[str, Tensor]:
    weights = getattr(torchvision.models, f"resnet{depth}")().state_dict()
    for name, value in weights.items():
        if _NORM_OF_LAST_CONV.fullmatch(name):
            value.fill_(0.1)
    return weights


def _detectron2(depth: int) -> dict:
    """As Detectron2's ``tools/convert-torchvision-to-d2.py``."""
    weights = convert_torchvision_resnet(_torchvision(depth))
    model = {name: value.numpy() for name, value in weights.items()}
    return {"model": model, "__author__": "torchvision", "matching_heuristics": True}


def _caffe2(depth: int) -> dict:
    """As those of MSRA: ``res2_0_branch2a_bn_s``; norms of a scale and a shift only."""
    blobs = {}
    for name, value in convert_torchvision_resnet(_torchvision(depth)).items():
        if name.endswith(("running_mean", "running_var")):
            continue
        name = name.replace("stem.conv1.norm", "res_conv1_bn").replace("stem.", "")
        for layer, branch in {"shortcut": "1", "conv1": "2a", "conv2": "2b", "conv3": "2c"}.items():
            name = re.sub(rf"(res\d\.\d+\.){layer}", rf"\1branch{branch}", name)
        name = name.replace(".norm.", "_bn.").replace("_bn.weight", "_bn_s")
        name = name.replace(".weight", ".w").replace(".bias", ".b").replace(".", "_")
        blobs[name] = value.numpy()
    blobs["conv1_w"] /= _PIXEL_STD
    return {"blobs": blobs}


# By what a config names: path below the folder, form, depth. Detectron2 looks for files of the net
# in a cache, by the path of their address.
_FILES: dict[str, tuple[str, Callable[[int], dict], int]] = {
    "R-152.pkl": ("R-152.pkl", _detectron2, 152)
}
for _depth, _hash in ((50, "19c8e357"), (101, "5d3b4d8f")):
    _name = f"ImageNetPretrained/MSRA/R-{_depth}.pkl"
    _FILES[f"detectron2://{_name}"] = (f"cache/detectron2/{_name}", _caffe2, _depth)
    _name = f"models/resnet{_depth}-{_hash}.pth"
    _FILES[f"https://download.pytorch.org/{_name}"] = (f"cache/{_name}", _torchvision, _depth)


def make_weights(name: str, folder: Path) -> bool:
    """Write the file that a config names where a process finds it that runs in ``folder``, with
    ``FVCORE_CACHE`` at ``folder/cache``; whether there is one of this name."""
    if name not in _FILES:
        return False
    path, form, depth = _FILES[name]
    if not (folder / path).exists():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        written = folder / f"{path}.{os.getpid()}"  # complete before another process reads it
        with written.open("wb") as file:
            (torch.save if path.endswith(".pth") else pickle.dump)(form(depth), file)
        written.replace(folder / path)
    return True

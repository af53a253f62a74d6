"""How often a training step would make the host wait for a GPU, beside Detectron2's own."""

import numpy as np
import pytest
import torch
from detectron2.modeling import build_model
from detectron2.structures import PolygonMasks
from torch.utils._python_dispatch import TorchDispatchMode

from eql_d2.losses import ClassificationLoss
from eql_d2.losses.functional import backend
from tests.conftest import as_retinanet
from tests.modeling.improved_baseline import as_improved_baseline
from tests.modeling.training_step import batch, losses_of
from tests.modeling.yolox import as_yolox_ip

# Operations whose results, or shapes of results, the host has to know
_WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "equal", "unique", "_unique2")


class Waits(TorchDispatchMode):
    """Counts what would wait if the tensors were on a GPU."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function._schema.name.removeprefix("aten::")
        if name in _WAITING:
            self.names.append(name)
        if name in ("index", "index_put", "index_put_", "_index_put_impl_"):
            masks = [i for i in args[1] if i is not None and i.dtype in (torch.bool, torch.uint8)]
            self.names += [f"{name} by a mask"] * bool(masks)
        return function(*args, **(kwargs or {}))


def waits(cfg, monkeypatch):
    """Of a forward and a backward pass, names in their order."""
    # On a GPU an assertion of the device.
    monkeypatch.setattr(ClassificationLoss, "_check_targets", lambda *_: None)
    torch.manual_seed(0)
    model = build_model(cfg)
    inputs = batch(2, 1)
    for image in inputs:
        polygons = [
            [np.array([x, y, x + 8, y, x, y + 8])]
            for x, y in image["instances"].gt_boxes.tensor[:, :2].tolist()
        ]
        image["instances"].gt_masks = PolygonMasks(polygons)
    with backend("dense"), Waits() as found:
        losses_of(model, inputs)
    return found.names


@pytest.fixture
def retinanet(tiny_cfg, monkeypatch):
    """Waits of Detectron2's RetinaNet."""
    cfg = as_retinanet(tiny_cfg.clone())
    cfg.MODEL.META_ARCHITECTURE = "RetinaNet"
    return waits(cfg, monkeypatch)


def test_mask_rcnn_with_eqlv2_waits_no_more_often(tiny_cfg, monkeypatch):
    ours = waits(tiny_cfg, monkeypatch)
    tiny_cfg.MODEL.ROI_HEADS.NAME = "StandardROIHeads"
    theirs = waits(tiny_cfg, monkeypatch)
    print(len(ours), len(theirs))
    assert len(ours) <= len(theirs)


@pytest.mark.parametrize("loss", ["FocalLoss", "EFL", "EQFL"])
def test_retinanet_waits_no_more_often(tiny_cfg, monkeypatch, retinanet, loss):
    cfg = as_retinanet(tiny_cfg)
    cfg.MODEL.EQL.LOSS = loss
    found = waits(cfg, monkeypatch)
    print(len(found), len(retinanet))
    assert len(found) <= len(retinanet)


@pytest.mark.parametrize("loss", ["FocalLoss", "EFL", "EQFL"])
def test_improved_baseline_waits_no_more_often_than_retinanet(
    tiny_cfg, monkeypatch, retinanet, loss
):
    cfg = as_improved_baseline(tiny_cfg)
    cfg.MODEL.EQL.LOSS = loss
    found = waits(cfg, monkeypatch)
    print(len(found), len(retinanet))
    assert len(found) <= len(retinanet)


def test_yolox_ip_waits_no_more_often_than_retinanet(tiny_cfg, monkeypatch, retinanet):
    found = waits(as_yolox_ip(tiny_cfg), monkeypatch)
    print(len(found), len(retinanet))
    assert len(found) <= len(retinanet)

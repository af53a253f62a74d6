"""The recipes on Detectron2's ViTDet and Swin, tiny but whole."""

import re

import pytest
import torch
from detectron2.config import LazyConfig, instantiate
from detectron2.structures import BitMasks, Boxes, Instances
from detectron2.utils.events import EventStorage

from eql_d2.checkpoint import EQLCheckpointer
from tests.config_twins import CONFIGS

FOLDER = CONFIGS / "LVISv1-InstanceSegmentation"
SIZE, NUM_CLASSES = 64, 5
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:Importing from timm")]


def tiny_vitdet():
    model = LazyConfig.load(str(FOLDER / "mask_rcnn_ViTDet_B_100e_eqlv2.py")).model
    model.backbone.net.update(img_size=SIZE, embed_dim=16, depth=4, num_heads=2, window_size=2)
    model.backbone.net.window_block_indexes = [0]
    return model, "backbone.net"


def tiny_swin():
    model = LazyConfig.load(str(FOLDER / "cascade_mask_rcnn_Swin_B_50e_eqlv2.py")).model
    model.backbone.bottom_up.update(embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 1, 1])
    return model, "backbone.bottom_up"


@pytest.fixture(params=[tiny_vitdet, tiny_swin])
def tiny(request):
    cfg, backbone = request.param()
    cfg.backbone.square_pad = SIZE
    cfg.proposal_generator.update(pre_nms_topk=(50, 50), post_nms_topk=(8, 8))
    cfg.roi_heads.update(num_classes=NUM_CLASSES, batch_size_per_image=8)
    torch.manual_seed(0)
    return instantiate(cfg), backbone


def test_pretrained_weights_load_by_the_ends_of_their_names(tiny, tmp_path):
    """As MAE's and Swin's files, which have no prefix and layers that a detector has not."""
    model, backbone = tiny
    weights = {
        name: torch.randn_like(value)
        for name, value in model.get_submodule(backbone).named_parameters()
        if not re.search(r"rel_pos|^norm\d", name)
    }
    others = {"norm.weight": torch.zeros(999), "head.weight": torch.zeros(1000, 16)}
    torch.save({"model": {**weights, **others}}, tmp_path / "pretrained.pth")
    optimizer = torch.optim.SGD(model.parameters(), 0.1)  # to train, not to evaluate
    checkpointer = EQLCheckpointer(model, optimizer=optimizer)
    checkpointer.load(f"{tmp_path}/pretrained.pth?matching_heuristics=True")
    loaded = model.state_dict()
    assert len(weights) > 20
    for name, value in weights.items():
        assert torch.equal(loaded[f"{backbone}.{name}"], value), name


def test_a_step_trains_the_backbone_and_the_statistics(tiny):
    model, backbone = tiny
    instances = Instances((SIZE, SIZE))
    instances.gt_boxes = Boxes([[4.0, 4, 40, 40], [20, 20, 60, 60]])
    instances.gt_classes = torch.tensor([0, 3])
    instances.gt_masks = BitMasks(torch.ones(2, SIZE, SIZE, dtype=torch.bool))
    image = torch.randint(256, (3, SIZE, SIZE), dtype=torch.uint8)
    with EventStorage():
        losses = model.train()([{"image": image, "instances": instances}])
    sum(losses.values()).backward()
    assert all(loss.isfinite() for loss in losses.values())
    first = model.get_parameter(f"{backbone}.patch_embed.proj.weight").grad
    assert first.isfinite().all() and first.abs().sum() > 0
    statistics = [m.statistics for m in model.modules() if hasattr(m, "statistics")]
    assert statistics[0].pos_grad.sum() > 0  # later stages of a cascade may have no positives yet
    assert all(s.neg_grad.sum() > 0 for s in statistics)
    with torch.no_grad():
        (result,) = model.eval()([{"image": image}])
    assert result["instances"].scores.isfinite().all()

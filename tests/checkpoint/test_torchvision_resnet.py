import pytest
import torch
import torchvision
from detectron2.config import get_cfg
from detectron2.layers import ShapeSpec
from detectron2.modeling.backbone import build_resnet_backbone
from torch import nn
from torchvision.models.feature_extraction import create_feature_extractor

from eql_d2 import InputError
from eql_d2.checkpoint import EQLCheckpointer
from eql_d2.checkpoint.torchvision_resnet import convert_torchvision_resnet, for_resnets_of
from tests.config_twins import CONFIGS, load_yaml

FEATURES = {"layer1": "res2", "layer2": "res3", "layer3": "res4", "layer4": "res5"}


class Detector(nn.Module):
    """With a network inside, as in detectors."""

    def __init__(self, depth, stride_in_1x1=False):
        super().__init__()
        cfg = get_cfg()
        cfg.MODEL.RESNETS.DEPTH = depth
        cfg.MODEL.RESNETS.STRIDE_IN_1X1 = stride_in_1x1
        cfg.MODEL.RESNETS.RES2_OUT_CHANNELS = 64 if depth < 50 else 256
        cfg.MODEL.RESNETS.OUT_FEATURES = list(FEATURES.values())
        self.backbone = nn.ModuleDict(
            {"bottom_up": build_resnet_backbone(cfg, ShapeSpec(channels=3))}
        )


def network_of_torchvision(depth):
    """With random weights, and batch norms that have learned."""
    torch.manual_seed(0)
    network = getattr(torchvision.models, f"resnet{depth}")(weights=None)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.3, 0.8)
            nn.init.uniform_(module.bias, -0.5, 0.5)
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return network.eval()


@torch.no_grad()
@pytest.mark.parametrize("depth", [18, 50])
def test_features_are_those_of_torchvision(depth, tmp_path):
    network = network_of_torchvision(depth)
    torch.save(network.state_dict(), tmp_path / "resnet.pth")
    detector = Detector(depth).eval()
    EQLCheckpointer(detector).load(str(tmp_path / "resnet.pth"))
    images = torch.randn(1, 3, 96, 64)
    expected = create_feature_extractor(network, FEATURES)(images)
    features = detector.backbone["bottom_up"](images)
    for name in FEATURES.values():
        scale = expected[name].abs().max()
        assert scale > 0.1
        torch.testing.assert_close(features[name], expected[name], rtol=0, atol=float(1e-5 * scale))


def test_pixels_of_the_improved_baseline_are_those_of_torchvision():
    cfg = load_yaml(CONFIGS / "Base-ImprovedBaseline.yaml")
    pixels = torch.randint(256, (3, 8, 8), generator=torch.Generator().manual_seed(0)).float()
    transform = torchvision.transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    mean, std = (
        torch.tensor(x)[:, None, None] for x in (cfg.MODEL.PIXEL_MEAN, cfg.MODEL.PIXEL_STD)
    )
    assert cfg.INPUT.FORMAT == "RGB"
    torch.testing.assert_close((pixels - mean) / std, transform(pixels / 255), rtol=0, atol=1e-5)


def test_strides_in_the_1x1_convolutions_are_refused():
    weights = network_of_torchvision(50).state_dict()
    with pytest.raises(InputError, match="set MODEL.RESNETS.STRIDE_IN_1X1 to False") as error:
        for_resnets_of(Detector(50, stride_in_1x1=True), weights)
    assert "\n" not in str(error.value)


def test_a_model_without_a_resnet_keeps_the_names():
    weights = {"conv1.weight": torch.zeros(1), "layer1.0.conv1.weight": torch.zeros(1)}
    assert for_resnets_of(nn.Linear(1, 1), weights) is weights


def test_names_of_another_network_are_refused():
    with pytest.raises(InputError, match="'layer1.0.se.weight' is no weight of a ResNet") as error:
        convert_torchvision_resnet({"layer1.0.se.weight": torch.zeros(1)})
    assert "\n" not in str(error.value)

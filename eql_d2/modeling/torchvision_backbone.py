"""Backbones from torchvision, timm or any other traceable network."""

import torch
import torchvision
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, Backbone
from torch import Tensor, nn
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

from ..exceptions import InputError


class TorchvisionBackbone(Backbone):
    """A node of a network, found by ``torch.fx``, as Detectron2's backbone.

    What the node does not need, such as the network's own classifier, is left out. Parameters keep
    their names, after ``model.``. Weights come with ``MODEL.WEIGHTS``, those of torchvision as
    ``https://download.pytorch.org/models/<file>.pth?matching_heuristics=True``: Detectron2 then
    matches names by their ends.

    Args:
        model: a convolutional network for RGB images, of torchvision, timm or your own.
        node: name of a layer, or of a group of layers such as "layer4", whose output is the
            feature.
        image_size: side in pixels of the image that is sent through to find the feature's shape;
            it must be one that the network takes.

    Raises:
        InputError: the network has no such node, or its output is not a map (N, C, H, W).
    """

    def __init__(self, model: nn.Module, node: str, image_size: int = 224):
        super().__init__()
        self.node = node
        try:
            self.model = create_feature_extractor(model, return_nodes=[node])
        except ValueError as error:
            groups = dict.fromkeys(name.split(".")[0] for name in get_graph_node_names(model)[1])
            raise InputError(
                f"node {node!r} (MODEL.TORCHVISION.NODE) is not in {type(model).__name__}: choose "
                f"one of, or within, {', '.join(groups)}"
            ) from error
        self._shape = self._find_shape(image_size)

    @torch.no_grad()
    def _find_shape(self, image_size: int) -> ShapeSpec:
        was_training = self.training
        self.eval()  # batch norm must not learn from the empty image
        parameter = next(self.parameters())
        feature = self(parameter.new_zeros(1, 3, image_size, image_size))[self.node]
        self.train(was_training)
        if feature.dim() != 4:
            raise InputError(
                f"node {self.node!r} (MODEL.TORCHVISION.NODE) gives a tensor of shape "
                f"{tuple(feature.shape)}: choose a node before the pooling, with (N, C, H, W)"
            )
        return ShapeSpec(channels=feature.shape[1], stride=round(image_size / feature.shape[2]))

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return self.model(images)

    def output_shape(self) -> dict[str, ShapeSpec]:
        return {self.node: self._shape}


@BACKBONE_REGISTRY.register()
def build_torchvision_backbone(cfg, input_shape) -> TorchvisionBackbone:
    """Network ``MODEL.TORCHVISION.NAME`` of ``torchvision.models``, without weights, up to
    ``MODEL.TORCHVISION.NODE``, which is also the name of the feature.

    Raises:
        InputError: no such network or node, or the images do not have three channels.
    """
    name = cfg.MODEL.TORCHVISION.NAME
    if name not in torchvision.models.list_models(module=torchvision.models):
        raise InputError(
            f"MODEL.TORCHVISION.NAME is {name!r}: choose one of torchvision.models.list_models(), "
            "for example resnet50"
        )
    if input_shape.channels != 3:
        raise InputError(
            f"MODEL.PIXEL_MEAN has {input_shape.channels} channels: networks of torchvision take 3"
        )
    return TorchvisionBackbone(
        torchvision.models.get_model(name, weights=None), cfg.MODEL.TORCHVISION.NODE
    )

"""Backbones from timm, alone or with a feature pyramid."""

import functools
import importlib
import math
import types
from collections.abc import Callable, Iterable, Sequence

import torch
from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, FPN, Backbone
from detectron2.modeling.backbone.fpn import LastLevelMaxPool, LastLevelP6P7
from torch import Tensor, nn

from ..exceptions import InputError


class TimmBackbone(Backbone):
    """A network of timm as Detectron2's backbone.

    ``res{k}`` is the feature of stride 2^k, as in Detectron2's ResNet: ``res2`` to ``res5`` have
    strides 4 to 32. Of several features of one stride it is the last. What no wanted feature needs
    is left out.

    The network starts at random. Parameters keep timm's names, after ``network.model.``, so
    ``MODEL.WEIGHTS file.pth?matching_heuristics=True`` loads a state dict of timm; the files of
    :mod:`eql_d2.checkpoint.efficientnet_lite` need no option.

    Batch norms of timm hold an activation, which Detectron2's ``convert_frozen_batchnorm`` would
    drop, so frozen ones are timm's: they compute the same and have no parameters.

    Args:
        name: of the network, one of ``timm.list_models()``.
        out_features: names of the features that it returns.
        norm: "BN" trains the network's batch norms, "FrozenBN" freezes them.
        freeze_at: k freezes all that ``res{k}`` is computed from, with its batch norms; 0 freezes
            nothing. Detectron2's ResNet has its stem at 1, here it is all up to stride 2.
        in_channels: of the images.

    Raises:
        InputError: timm is missing or has no such network, the network has no such feature, or
            the norm is unknown.
    """

    def __init__(
        self,
        name: str,
        out_features: Sequence[str] = ("res2", "res3", "res4", "res5"),
        *,
        norm: str = "FrozenBN",
        freeze_at: int = 0,
        in_channels: int = 3,
    ):
        super().__init__()
        if norm not in ("BN", "FrozenBN"):
            raise InputError(f"norm (MODEL.TIMM.NORM) is {norm!r}: choose BN or FrozenBN")
        # Once to learn which features there are, then without what lies behind the last of them
        create = _creator(name, in_channels)
        info = create().feature_info.info
        places = _places(info)
        _check_features("out_features (MODEL.TIMM.OUT_FEATURES)", out_features, places)
        last = max(places[feature] for feature in out_features)
        self._features = [feature for feature, place in places.items() if place <= last]
        self._shapes = {
            feature: ShapeSpec(
                channels=info[places[feature]]["num_chs"], stride=info[places[feature]]["reduction"]
            )
            for feature in out_features
        }
        self.network = create(out_indices=[places[feature] for feature in self._features])
        if norm == "FrozenBN":
            self.network = _import_timm().layers.freeze_batch_norm_2d(self.network)
        if freeze_at:
            self._freeze(freeze_at, in_channels)

    def _freeze(self, freeze_at: int, in_channels: int) -> None:
        """Freeze what the feature depends on; autograd knows it, whatever the network is like."""
        feature = f"res{freeze_at}"
        if feature not in self._features:
            raise InputError(
                f"freeze_at (MODEL.BACKBONE.FREEZE_AT) is {freeze_at}, but there is no {feature}: "
                f"choose 0, or the number of one of {', '.join(self._features)}"
            )
        parameters = list(self.network.parameters())
        image_size = self.network.default_cfg["input_size"][1:]
        self.eval()  # batch norm must not learn from the empty image
        with torch.enable_grad():
            features = self.network(parameters[0].new_zeros(1, in_channels, *image_size))
            value = features[self._features.index(feature)].sum()
        gradients = torch.autograd.grad(value, parameters, allow_unused=True)
        self.train()
        for parameter, gradient in zip(parameters, gradients):
            parameter.requires_grad_(gradient is None)
        for name, module in list(self.network.named_modules()):
            if isinstance(module, nn.BatchNorm2d) and not module.weight.requires_grad:
                parent, _, child = name.rpartition(".")
                frozen = _import_timm().layers.freeze_batch_norm_2d(module)
                setattr(self.network.get_submodule(parent), child, frozen)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Features (N, C, H / stride, W / stride) of images (N, in_channels, H, W); whether up or
        down, the network rounds."""
        features = dict(zip(self._features, self.network(images)))
        return {name: features[name] for name in self._shapes}

    def output_shape(self) -> dict[str, ShapeSpec]:
        return dict(self._shapes)


def _import_timm() -> types.ModuleType:
    # Not at the top: timm is optional, and its import takes a second.
    try:
        return importlib.import_module("timm")
    except ImportError as error:
        raise InputError("a backbone from timm needs it: pip install 'timm>=1.0.16'") from error


def _creator(name: str, in_channels: int) -> Callable[..., nn.Module]:
    timm = _import_timm()
    if not timm.is_model(name):
        raise InputError(
            f"name (MODEL.TIMM.NAME) is {name!r}: choose one of timm.list_models(), for example "
            "tf_efficientnet_lite0"
        )
    # The getter is the one class of features that keeps the names of all parameters.
    return functools.partial(
        timm.create_model,
        name,
        pretrained=False,
        in_chans=in_channels,
        features_only=True,
        feature_cls="getter",
    )


def _places(info: list[dict]) -> dict[str, int]:
    """Place of each feature ``res{k}`` among those of timm."""
    levels = [math.log2(feature["reduction"]) for feature in info]
    return {f"res{level:.0f}": i for i, level in enumerate(levels) if level.is_integer()}


def _check_features(key: str, features: Sequence[str], known: Iterable[str]) -> None:
    unknown = [feature for feature in features if feature not in known]
    if unknown or not features:
        raise InputError(
            f"{key} has {unknown[0] if unknown else 'no feature'}: choose of {', '.join(known)}"
        )


@BACKBONE_REGISTRY.register()
def build_timm_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> TimmBackbone:
    """``TimmBackbone`` of ``MODEL.TIMM``, frozen up to ``MODEL.BACKBONE.FREEZE_AT``."""
    return TimmBackbone(
        cfg.MODEL.TIMM.NAME,
        cfg.MODEL.TIMM.OUT_FEATURES,
        norm=cfg.MODEL.TIMM.NORM,
        freeze_at=cfg.MODEL.BACKBONE.FREEZE_AT,
        in_channels=input_shape.channels,
    )


def _build_fpn(cfg: CfgNode, bottom_up: TimmBackbone, top_block: nn.Module) -> FPN:
    return FPN(
        bottom_up=bottom_up,
        in_features=cfg.MODEL.FPN.IN_FEATURES,
        out_channels=cfg.MODEL.FPN.OUT_CHANNELS,
        norm=cfg.MODEL.FPN.NORM,
        top_block=top_block,
        fuse_type=cfg.MODEL.FPN.FUSE_TYPE,
    )


def _build_bottom_up(cfg: CfgNode, input_shape: ShapeSpec) -> TimmBackbone:
    bottom_up = build_timm_backbone(cfg, input_shape)
    _check_features("MODEL.FPN.IN_FEATURES", cfg.MODEL.FPN.IN_FEATURES, bottom_up.output_shape())
    return bottom_up


@BACKBONE_REGISTRY.register()
def build_timm_fpn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> FPN:
    """Feature pyramid on a network of timm for two-stage detectors and segmentation: ``p6`` is
    ``p5``, subsampled.

    Raises:
        InputError: as :class:`TimmBackbone`, or ``MODEL.FPN.IN_FEATURES`` has another feature.
    """
    return _build_fpn(cfg, _build_bottom_up(cfg, input_shape), LastLevelMaxPool())


@BACKBONE_REGISTRY.register()
def build_timm_retinanet_fpn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> FPN:
    """Feature pyramid on a network of timm for one-stage detectors: ``p6`` and ``p7`` are
    convolutions of the last feature of the network.

    Raises:
        InputError: as :class:`TimmBackbone`, or ``MODEL.FPN.IN_FEATURES`` has another feature.
    """
    bottom_up = _build_bottom_up(cfg, input_shape)
    last = cfg.MODEL.FPN.IN_FEATURES[-1]
    channels = bottom_up.output_shape()[last].channels
    top_block = LastLevelP6P7(channels, cfg.MODEL.FPN.OUT_CHANNELS, in_feature=last)
    return _build_fpn(cfg, bottom_up, top_block)

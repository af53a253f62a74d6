"""Detectron2's ROI heads with our box predictor, for yaml configs.

A LazyConfig needs none of these: it names the predictor itself.
"""

import torch
from detectron2.modeling.roi_heads import (
    ROI_HEADS_REGISTRY,
    CascadeROIHeads,
    Res5ROIHeads,
    StandardROIHeads,
)

from .fast_rcnn import EQLFastRCNNOutputLayers


@ROI_HEADS_REGISTRY.register()
class EQLROIHeads(StandardROIHeads):
    """``StandardROIHeads`` with the loss of ``MODEL.EQL.LOSS``."""

    # For TorchScript: Detectron2's export declares them for StandardROIHeads only, and annotations
    # are not inherited.
    mask_on: torch.jit.Final[bool]
    keypoint_on: torch.jit.Final[bool]

    @classmethod
    def _init_box_head(cls, cfg, input_shape):
        ret = super()._init_box_head(cfg, input_shape)
        ret["box_predictor"] = EQLFastRCNNOutputLayers(cfg, ret["box_head"].output_shape)
        return ret


@ROI_HEADS_REGISTRY.register()
class EQLCascadeROIHeads(CascadeROIHeads):
    """``CascadeROIHeads`` with the loss of ``MODEL.EQL.LOSS``; each stage has its statistics."""

    @classmethod
    def _init_box_head(cls, cfg, input_shape):
        ret = super()._init_box_head(cfg, input_shape)
        ret["box_predictors"] = [
            EQLFastRCNNOutputLayers(
                cfg, head.output_shape, box2box_transform=predictor.box2box_transform
            )
            for head, predictor in zip(ret["box_heads"], ret["box_predictors"])
        ]
        return ret


@ROI_HEADS_REGISTRY.register()
class EQLRes5ROIHeads(Res5ROIHeads):
    """``Res5ROIHeads`` (C4 models) with the loss of ``MODEL.EQL.LOSS``."""

    @classmethod
    def from_config(cls, cfg, input_shape):
        ret = super().from_config(cfg, input_shape)
        channels = ret["box_predictor"].cls_score.in_features
        ret["box_predictor"] = EQLFastRCNNOutputLayers(cfg, channels)
        return ret

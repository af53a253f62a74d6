"""Mask R-CNN of eqlv2 (CVPR 2021, built on mmdet 2) and of mmdet, and mmdet's RetinaNet."""

import re
from collections.abc import Callable

from torch import Tensor

from .architectures import mask_rcnn, retinanet
from .box_classifier import add_background_column, mask_rcnn_config
from .foreign_file import ForeignFile
from .recipe import Change, Recipe
from .statistics import add_statistics
from .torchvision_layers import (
    COUNTERS,
    TORCHVISION_INPUT,
    torchvision_depth,
    torchvision_layers,
)

_MASK_RCNN_LAYERS = {
    **{f"backbone.fpn_lateral{i + 2}": f"neck.lateral_convs.{i}.conv" for i in range(4)},
    **{f"backbone.fpn_output{i + 2}": f"neck.fpn_convs.{i}.conv" for i in range(4)},
    "proposal_generator.rpn_head.conv": "rpn_head.rpn_conv",
    "proposal_generator.rpn_head.objectness_logits": "rpn_head.rpn_cls",
    "proposal_generator.rpn_head.anchor_deltas": "rpn_head.rpn_reg",
    "roi_heads.box_head.fc1": "roi_head.bbox_head.shared_fcs.0",
    "roi_heads.box_head.fc2": "roi_head.bbox_head.shared_fcs.1",
    "roi_heads.box_predictor.cls_score": "roi_head.bbox_head.fc_cls",
    "roi_heads.box_predictor.bbox_pred": "roi_head.bbox_head.fc_reg",
    **{
        f"roi_heads.mask_head.mask_fcn{i + 1}": f"roi_head.mask_head.convs.{i}.conv"
        for i in range(4)
    },
    "roi_heads.mask_head.deconv": "roi_head.mask_head.upsample",
    "roi_heads.mask_head.predictor": "roi_head.mask_head.conv_logits",
}
_RETINANET_LAYERS = {
    **{f"backbone.fpn_lateral{i + 3}": f"neck.lateral_convs.{i}.conv" for i in range(3)},
    **{f"backbone.fpn_output{i + 3}": f"neck.fpn_convs.{i}.conv" for i in range(3)},
    "backbone.top_block.p6": "neck.fpn_convs.3.conv",
    "backbone.top_block.p7": "neck.fpn_convs.4.conv",
    **{f"head.cls_subnet.{2 * i}": f"bbox_head.cls_convs.{i}.conv" for i in range(4)},
    **{f"head.bbox_subnet.{2 * i}": f"bbox_head.reg_convs.{i}.conv" for i in range(4)},
    "head.cls_score": "bbox_head.retina_cls",
    "head.bbox_pred": "bbox_head.retina_reg",
}
_RESIZING = "mmdet resizes with OpenCV, Detectron2 with Pillow: the results differ slightly"
# Octave scales and ratios of the anchors of a location
_NUM_SCALES = _NUM_RATIOS = 3


def mmdet_mask_rcnn(file: ForeignFile) -> Recipe:
    """With EQL v2 column C is that of "no object", as ours; with EQL there is none."""
    depth = torchvision_depth(file)
    num_classes = file.rows("roi_head.bbox_head.fc_reg.weight") // 4
    mask_on = "roi_head.mask_head.conv_logits.weight" in file.state
    recipe = Recipe(
        title=f"Mask R-CNN R-{depth} FPN of eqlv2 or mmdet with {num_classes} classes",
        shapes=mask_rcnn(depth, num_classes, mask_on),
        layers={**torchvision_layers(file), **_MASK_RCNN_LAYERS},
        dropped=dict(COUNTERS),
        notes=[_RESIZING],
    )
    has_statistics = add_statistics(
        recipe,
        file,
        num_classes,
        theirs="roi_head.bbox_head.loss_cls",
        ours="roi_heads.box_predictor.loss_cls",
    )
    if add_background_column(recipe, file, num_classes):
        loss = "EQL"
    elif has_statistics or re.search(r"['\"]EQL[vV]2(Loss)?['\"]", file.config_text):
        loss = "EQLv2"
    elif file.config_text:
        loss = "SoftmaxCE"
    else:
        loss = "EQLv2"
        recipe.notes.append(
            "the file does not say which loss it was trained with: MODEL.EQL.LOSS EQLv2 is a "
            "guess, for a softmax it is SoftmaxCE"
        )
    recipe.config_file, overrides = mask_rcnn_config(depth, num_classes, mask_on, loss)
    recipe.overrides = {**overrides, **TORCHVISION_INPUT}
    return recipe


def mmdet_retinanet(file: ForeignFile) -> Recipe:
    depth = torchvision_depth(file)
    num_anchors = _NUM_SCALES * _NUM_RATIOS
    num_classes = file.rows("bbox_head.retina_cls.weight") // num_anchors
    shapes = retinanet(depth, num_classes, num_anchors)
    of_lvis = "LVISv1-Detection/Base-LVISv1-RetinaNet.yaml"
    return Recipe(
        title=f"RetinaNet R-{depth} FPN of mmdet with {num_classes} classes",
        shapes=shapes,
        layers={**torchvision_layers(file), **_RETINANET_LAYERS},
        changes={
            f"head.{layer}.{kind}": Change(shapes[f"head.{layer}.{kind}"], _sort_anchors(channels))
            for layer, channels in (("cls_score", num_classes), ("bbox_pred", 4))
            for kind in ("weight", "bias")
        },
        dropped=dict(COUNTERS),
        config_file=of_lvis if num_classes == 1203 else "Base-RetinaNet.yaml",
        overrides={
            "MODEL.RESNETS.DEPTH": depth,
            "MODEL.RETINANET.NUM_CLASSES": num_classes,
            "MODEL.EQL.LOSS": "FocalLoss",
            **TORCHVISION_INPUT,
        },
        notes=[
            "mmdet has no ReLU between P6 and P7, Detectron2 has: the boxes of level P7, the "
            "largest, are not those of mmdet",
            _RESIZING,
        ],
    )


def _sort_anchors(channels: int) -> Callable[[Tensor], Tensor]:
    """From anchors ordered by ratio and then scale (mmdet) to scale and then ratio."""

    def sort(value: Tensor) -> Tensor:
        by_anchor = value.unflatten(0, (_NUM_RATIOS, _NUM_SCALES, channels))
        return by_anchor.transpose(0, 1).flatten(0, 2)

    return sort

"""Cascade Mask R-CNN R50-FPN: three box heads; each stage gets a loss of its own."""

from detectron2.config import LazyCall as L
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.matcher import Matcher
from detectron2.modeling.roi_heads import CascadeROIHeads

from .mask_rcnn_fpn import model

box_head = model.roi_heads.pop("box_head")
box_predictor = model.roi_heads.pop("box_predictor")
model.roi_heads.pop("proposal_matcher")


def stage_predictor(weights):
    predictor = box_predictor.copy()
    predictor.box2box_transform = L(Box2BoxTransform)(weights=weights)
    predictor.cls_agnostic_bbox_reg = True
    predictor.num_classes = "${...num_classes}"
    return predictor


model.proposal_generator.post_nms_topk = (2000, 1000)  # Detectron2's Cascade configs
model.roi_heads.update(
    _target_=CascadeROIHeads,
    box_heads=[box_head.copy() for _ in range(3)],
    box_predictors=[
        stage_predictor(weights)
        for weights in [(10.0, 10.0, 5.0, 5.0), (20.0, 20.0, 10.0, 10.0), (30.0, 30.0, 15.0, 15.0)]
    ],
    proposal_matchers=[
        L(Matcher)(thresholds=[iou], labels=[0, 1], allow_low_quality_matches=False)
        for iou in (0.5, 0.6, 0.7)
    ],
)

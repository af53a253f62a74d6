"""Cascade Mask R-CNN on Swin-B (arXiv 2103.14030), with the heads and numbers of Detectron2's
projects/ViTDet/configs/COCO/cascade_mask_rcnn_swin_b_in21k_50ep.py. Needs timm and,
to crop, shapely."""

from detectron2.config import LazyCall as L
from detectron2.modeling.backbone import SwinTransformer

from .cascade_mask_rcnn_fpn import model

model.update(
    pixel_mean=[123.675, 116.28, 103.53], pixel_std=[58.395, 57.12, 57.375], input_format="RGB"
)
model.backbone.bottom_up = L(SwinTransformer)(
    embed_dim=128, depths=[2, 2, 18, 2], num_heads=[4, 8, 16, 32], drop_path_rate=0.4
)
model.backbone.update(in_features=("p0", "p1", "p2", "p3"), norm="LN", square_pad=1024)
model.proposal_generator.update(post_nms_topk=(1000, 1000))
model.proposal_generator.head.conv_dims = [-1, -1]
for box_head in model.roi_heads.box_heads:
    box_head.update(conv_dims=[256] * 4, fc_dims=[1024], conv_norm="LN")
model.roi_heads.mask_head.conv_norm = "LN"

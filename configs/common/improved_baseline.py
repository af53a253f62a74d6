"""The improved one-stage baseline of EFL, R50, the twin of ../Base-ImprovedBaseline.yaml."""

from detectron2.config import LazyCall as L

from eql_d2 import EQLImprovedBaseline
from eql_d2.modeling import LateralFPN, LateralP6P7
from eql_d2.modeling.atss import ATSSAssigner, ATSSHead
from eql_d2.solver import ClippedSGD

from .retinanet import model
from .train import optimizer

model._target_ = EQLImprovedBaseline
model.backbone._target_ = LateralFPN
model.backbone.top_block = L(LateralP6P7)(channels="${..out_channels}")
model.backbone.bottom_up.stages.stride_in_1x1 = False
# torchvision's weights: RGB
model.update(
    pixel_mean=[123.675, 116.28, 103.53], pixel_std=[58.395, 57.12, 57.375], input_format="RGB"
)
model.head._target_ = ATSSHead
model.head.num_anchors = 2
model.head.norm = "GN"
model.anchor_matcher = L(ATSSAssigner)()
# 6 and 8 times the stride
model.anchor_generator.sizes = [[48, 64], [96, 128], [192, 256], [384, 512], [768, 1024]]
model.anchor_generator.aspect_ratios = [[1.0]]
model.anchor_generator.offset = 0.5
model.test_score_thresh = 0.0
model.test_topk_candidates = 6000  # per level

init_checkpoint = "https://download.pytorch.org/models/resnet50-19c8e357.pth"
optimizer._target_ = ClippedSGD
optimizer.max_norm = 35.0
optimizer.params.weight_decay_norm = 1e-4

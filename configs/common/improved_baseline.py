"""The improved one-stage baseline of EFL, R50, the twin of ../Base-ImprovedBaseline.yaml."""

from detectron2.config import LazyCall as L

from eql_d2 import EQLImprovedBaseline
from eql_d2.modeling.atss import ATSSAssigner, ATSSHead

from .retinanet import model

model._target_ = EQLImprovedBaseline
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

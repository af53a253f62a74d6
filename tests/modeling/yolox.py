"""A narrow YOLOX-IP, for the tests."""

from eql_d2 import EQLYOLOXIP
from tests.modeling.improved_baseline import C

SIZES = [(12, 12), (6, 6), (3, 3)]  # of images of 64 x 80 pixels, padded to 96 x 96


def as_yolox_ip(tiny_cfg):
    """YOLOX-IP with 4 channels in the stem."""
    tiny_cfg.MODEL.META_ARCHITECTURE = EQLYOLOXIP.__name__
    tiny_cfg.MODEL.BACKBONE.NAME = "build_yolox_backbone"
    tiny_cfg.MODEL.YOLOX.WIDTH = 1 / 16
    tiny_cfg.MODEL.ANCHOR_GENERATOR.SIZES = [[24, 32], [48, 64], [96, 128]]
    tiny_cfg.MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS = [[1.0]]
    tiny_cfg.MODEL.ANCHOR_GENERATOR.OFFSET = 0.0
    tiny_cfg.MODEL.RETINANET.IN_FEATURES = ["p3", "p4", "p5"]
    tiny_cfg.MODEL.RETINANET.NUM_CLASSES = C
    tiny_cfg.MODEL.RETINANET.BBOX_REG_LOSS_TYPE = "giou"
    tiny_cfg.MODEL.RETINANET.SCORE_THRESH_TEST = 0.0
    tiny_cfg.MODEL.RETINANET.NMS_THRESH_TEST = 0.65
    tiny_cfg.MODEL.PIXEL_MEAN = [0.0, 0.0, 0.0]
    tiny_cfg.MODEL.PIXEL_STD = [1.0, 1.0, 1.0]
    tiny_cfg.MODEL.MASK_ON = False
    tiny_cfg.MODEL.EQL.LOSS = "EQFL"
    return tiny_cfg

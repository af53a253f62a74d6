"""A narrow improved baseline and its inputs, for the tests."""

import torch

from eql_d2 import EQLImprovedBaseline

C, A = 5, 2
SIZES = [(8, 10), (4, 5), (2, 3), (1, 2), (1, 1)]


def as_improved_baseline(tiny_cfg):
    """The improved baseline, narrow and with one convolution in each branch."""
    tiny_cfg.MODEL.META_ARCHITECTURE = EQLImprovedBaseline.__name__
    tiny_cfg.MODEL.BACKBONE.NAME = "build_improved_baseline_resnet_fpn_backbone"
    tiny_cfg.MODEL.RESNETS.OUT_FEATURES = ["res3", "res4", "res5"]
    tiny_cfg.MODEL.FPN.IN_FEATURES = ["res3", "res4", "res5"]
    tiny_cfg.MODEL.FPN.OUT_CHANNELS = 64
    tiny_cfg.MODEL.ANCHOR_GENERATOR.SIZES = [[6.0 * s, 8.0 * s] for s in (8, 16, 32, 64, 128)]
    tiny_cfg.MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS = [[1.0]]
    tiny_cfg.MODEL.ANCHOR_GENERATOR.OFFSET = 0.5
    tiny_cfg.MODEL.RETINANET.NUM_CLASSES = C
    tiny_cfg.MODEL.RETINANET.NUM_CONVS = 1
    tiny_cfg.MODEL.RETINANET.NORM = "GN"
    tiny_cfg.MODEL.RETINANET.BBOX_REG_LOSS_TYPE = "giou"
    tiny_cfg.MODEL.RETINANET.SCORE_THRESH_TEST = 0.0
    tiny_cfg.MODEL.RETINANET.TOPK_CANDIDATES_TEST = 6000
    tiny_cfg.TEST.DETECTIONS_PER_IMAGE = 300
    tiny_cfg.MODEL.MASK_ON = False
    tiny_cfg.MODEL.EQL.LOSS = "EFL"
    return tiny_cfg


def features(num_images, sizes=SIZES):
    return [torch.zeros(num_images, 1, *size) for size in sizes]


def random_predictions(num_images, sizes=SIZES):
    torch.manual_seed(5)
    logits = [2 * torch.randn(num_images, A * C, *size) for size in sizes]
    deltas = [0.3 * torch.randn(num_images, A * 4, *size) for size in sizes]
    ious = [torch.randn(num_images, A, *size) for size in sizes]
    return logits, deltas, ious

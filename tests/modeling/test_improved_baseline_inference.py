"""Detections of the improved baseline, and its export."""

import pytest
import torch
from detectron2.modeling import build_model
from detectron2.structures import ImageList
from torch.utils._python_dispatch import TorchDispatchMode

from eql_d2.modeling.improved_baseline import top_rated_candidates
from tests.modeling.dense_export import assert_exports_equal_eager
from tests.modeling.improved_baseline import (
    A,
    C,
    as_improved_baseline,
    features,
    random_predictions,
)
from tests.modeling.training_step import batch
from tests.reference import atss as reference


@pytest.fixture
def cfg(tiny_cfg):
    return as_improved_baseline(tiny_cfg)


@pytest.mark.parametrize(
    "topk, score_thresh, limit", [(6000, 0.0, 300), (50, 0.0, 40), (50, 0.3, 300)]
)
def test_detections_are_those_of_the_dense_way(cfg, topk, score_thresh, limit):
    cfg.MODEL.RETINANET.TOPK_CANDIDATES_TEST = topk
    cfg.MODEL.RETINANET.SCORE_THRESH_TEST = score_thresh
    cfg.TEST.DETECTIONS_PER_IMAGE = limit
    model = build_model(cfg).eval()
    predictions = random_predictions(2)
    image_sizes = [(64, 80), (60, 70)]
    images = ImageList(torch.zeros(2, 3, 64, 80), image_sizes)
    results = model.forward_inference(images, features(2), predictions)
    for image, found in enumerate(results):
        boxes, scores, classes = reference.detections(
            model.anchor_generator(features(1)),
            [[x[image] for x in levels] for levels in predictions],
            image_sizes[image],
            num_classes=C,
            score_thresh=score_thresh,
            topk=topk,
            nms_thresh=model.test_nms_thresh,
            limit=limit,
        )
        assert len(found) == len(scores) > 10
        torch.testing.assert_close(found.scores, scores)
        torch.testing.assert_close(found.pred_boxes.tensor, boxes, rtol=1e-4, atol=1e-3)
        assert torch.equal(found.pred_classes, classes)


@pytest.mark.parametrize("scale", [0.01, 1.0, 20.0])
@pytest.mark.parametrize("num_candidates", [1, 7, 6000])
@pytest.mark.parametrize("score_thresh", [0.0, 0.2])
def test_bound_of_the_candidates_loses_none(scale, num_candidates, score_thresh):
    """Flat, ordinary and saturated maps: the scores are those of a sort of all products."""
    for seed in range(10):
        torch.manual_seed(seed)
        logits = scale * torch.randn(A * 50, 6, 7) - 3
        ious = scale * torch.randn(A, 6, 7)
        dense = (logits.view(A, 50, -1).sigmoid() * ious.view(A, 1, -1).sigmoid()).flatten()
        expected = dense.sort(descending=True)[0][: min(num_candidates, ious.numel())]
        scores, anchor, classes = top_rated_candidates(logits, ious, score_thresh, num_candidates)
        torch.testing.assert_close(scores, expected[expected > score_thresh])
        y, x, a = anchor // A // 7, anchor // A % 7, anchor % A
        product = logits[a * 50 + classes, y, x].sigmoid() * ious[a, y, x].sigmoid()
        torch.testing.assert_close(product, scores)


class LargestTensor(TorchDispatchMode):
    """Bytes of the largest tensor that any operator has made."""

    bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, (tuple, list)) else [made]:
            if isinstance(tensor, torch.Tensor):
                self.bytes = max(self.bytes, tensor.numel() * tensor.element_size())
        return made


@pytest.mark.parametrize("score_thresh", [0.0, 0.05])
def test_dead_features_take_no_more_than_a_map_of_scores(score_thresh):
    """All pairs are alike, so each is a candidate: their indices took three times eight bytes of
    each, 2.7 GiB for an image with the classes of LVIS, and their sort 37 s."""
    logits, ious = torch.zeros(A * 300, 20, 20), torch.zeros(A, 20, 20)
    with LargestTensor() as largest:
        scores, anchor, classes = top_rated_candidates(logits, ious, score_thresh, 100)
    assert largest.bytes <= logits.numel() * logits.element_size()
    assert scores.tolist() == [0.25] * 100
    assert len(set(zip(anchor.tolist(), classes.tolist()))) == 100
    assert anchor.max() < A * 400 and classes.max() < 300


def test_inference_gives_finite_boxes_inside_the_image(cfg):
    model = build_model(cfg).eval()
    with torch.no_grad():
        found = model(batch(2))[0]["instances"]
    assert 0 < len(found) <= 300
    boxes = found.pred_boxes.tensor
    assert boxes.min() >= 0 and boxes[:, 2].max() <= 80 and boxes[:, 3].max() <= 64


@pytest.mark.slow
def test_export_by_tracing_and_scripting_equals_eager(cfg):
    assert_exports_equal_eager(build_model(cfg))

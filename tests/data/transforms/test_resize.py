import numpy as np
import pytest
from detectron2.config import get_cfg
from detectron2.data import transforms as T

from eql_d2 import InputError, add_eql_config
from eql_d2.data import DatasetMapper, RandomHSV, ResizeLongestEdge


@pytest.mark.parametrize(
    ("size", "expected"),
    [((480, 640), (48, 64)), ((640, 480), (64, 48)), ((10, 10), (64, 64)), ((7, 900), (1, 64))],
)
def test_the_longer_side_has_the_length(size, expected):
    image = np.zeros((*size, 3), np.uint8)
    transform = ResizeLongestEdge((64,)).get_transform(image)
    assert transform.apply_image(image).shape == (*expected, 3)


def test_each_length_is_drawn_alike_often():
    np.random.seed(0)
    augmentation, image = ResizeLongestEdge([32, 64, 96]), np.zeros((10, 20, 3), np.uint8)
    widths = [augmentation.get_transform(image).new_w for _ in range(900)]
    counts = dict(zip(*np.unique(widths, return_counts=True)))
    assert set(counts) == {32, 64, 96} and min(counts.values()) > 250


@pytest.mark.parametrize("lengths", [(), (0,), (32, -1), (1.5,), ("a",), 640, None])
def test_wrong_lengths_are_refused(lengths):
    with pytest.raises(InputError, match=r"^lengths of ResizeLongestEdge \(INPUT.LONGEST_EDGE"):
        ResizeLongestEdge(lengths)


def test_yaml_has_them_without_a_mosaic():
    cfg = get_cfg()
    add_eql_config(cfg)
    kinds = [type(x) for x in DatasetMapper(cfg, is_train=True).augmentations.augs]
    assert kinds == [T.ResizeShortestEdge, T.RandomFlip]
    cfg.INPUT.HSV, cfg.INPUT.LONGEST_EDGE_TRAIN = (0.015, 0.7, 0.4), (480, 512)
    hsv, flip, resize = DatasetMapper(cfg, is_train=True).augmentations.augs
    assert isinstance(hsv, RandomHSV) and hsv.gains == (0.015, 0.7, 0.4)
    assert isinstance(flip, T.RandomFlip) and hsv.image_format == "BGR"
    assert isinstance(resize, ResizeLongestEdge) and resize.lengths == (480, 512)
    kinds = [type(x) for x in DatasetMapper(cfg, is_train=False).augmentations.augs]
    assert kinds == [T.ResizeShortestEdge]

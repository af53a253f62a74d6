import colorsys

import numpy as np
import pytest
from detectron2.data.transforms import AugInput

from eql_d2 import InputError
from eql_d2.data import RandomHSV

COLORS = np.random.default_rng(0).integers(0, 256, (200, 3), np.uint8)


def changed(gains, image, image_format="RGB", seed=0):
    np.random.seed(seed)
    return RandomHSV(gains, image_format).get_transform(image).apply_image(image)


@pytest.mark.parametrize("which", range(3))
@pytest.mark.parametrize("sign", [1, -1])
def test_each_gain_multiplies_its_own(monkeypatch, which, sign):
    """Against Python's own HSV, in float; Pillow's rounds the hue to 1.4 degrees, twice."""
    monkeypatch.setattr(np.random, "uniform", lambda low, high, size: np.full(size, float(sign)))
    gains = [0.0, 0.0, 0.0]
    gains[which] = 0.3
    result = changed(gains, COLORS[None])[0]
    for color, new in zip(COLORS / 255, result / 255):
        hsv = list(colorsys.rgb_to_hsv(*color))
        hsv[which] *= 1 + 0.3 * sign
        hsv[which] = hsv[which] % 1 if which == 0 else min(hsv[which], 1)
        np.testing.assert_allclose(new, colorsys.hsv_to_rgb(*hsv), atol=0.07)


def test_bgr_is_rgb_the_other_way_round():
    image = COLORS.reshape(10, 20, 3)
    rgb = changed((0.1, 0.7, 0.4), image)
    bgr = changed((0.1, 0.7, 0.4), image[..., ::-1], "BGR")
    np.testing.assert_array_equal(bgr[..., ::-1], rgb)
    assert (rgb != image).mean() > 0.5 and rgb.dtype == np.uint8


def test_factors_are_drawn_between_one_minus_and_one_plus_the_gain():
    white = np.full((1, 1, 3), 200, np.uint8)
    values = [changed((0, 0, 0.2), white, seed=i)[0, 0, 0] / 200 for i in range(300)]
    assert 0.79 <= min(values) < 0.82 and 1.18 < max(values) <= 1.2


def test_only_colours_change():
    augmented = AugInput(COLORS[None], boxes=np.array([[1.0, 2, 3, 4]]))
    transform = RandomHSV()(augmented)
    mask = np.arange(6, dtype=np.uint8).reshape(2, 3)
    assert (augmented.boxes == [[1, 2, 3, 4]]).all()
    assert transform.apply_segmentation(mask) is mask


@pytest.mark.parametrize("gains", [(0.1, 0.1), (0.1, 0.1, 1.1), (-0.1, 0, 0), "abc", 1, None])
def test_wrong_gains_are_refused(gains):
    with pytest.raises(InputError, match=r"^gains of RandomHSV \(INPUT.HSV\) is .*: give three"):
        RandomHSV(gains)


def test_other_formats_are_refused():
    with pytest.raises(InputError, match=r"INPUT.FORMAT\) is 'L': give 'BGR' or 'RGB'"):
        RandomHSV(image_format="L")

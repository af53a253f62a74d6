import numpy as np
import pytest
from detectron2.data.transforms import AugInput
from detectron2.structures import polygons_to_bitmask

from eql_d2 import InputError
from eql_d2.data import AffineTransform, RandomAffine
from tests.data.rectangles import box_of, corners_of, image_of, pixels_of

SIZE, BOX = (120, 160), (30, 25, 110, 75)


def drawn(count=150, **kwargs):
    np.random.seed(0)
    augmentation = RandomAffine(**{"scale": (0.3, 2.0), "output_size": (100, 140), **kwargs})
    image = image_of(SIZE, BOX, (255, 0, 0))
    for _ in range(count):
        augmented = AugInput(image)
        yield augmentation(augmented), augmented.image


def test_image_box_polygon_and_mask_go_the_same_way():
    num_whole = num_cut = 0
    mask = (image_of(SIZE, BOX, (255, 0, 0))[..., 0] > 0).astype(np.uint8)
    for transform, image in drawn():
        pixels = pixels_of(image, (255, 0, 0))
        if not pixels.any():
            continue
        box = transform.apply_box(np.array([BOX], float))[0]
        polygons = transform.apply_polygons([corners_of(BOX)])
        drawn_polygon = polygons_to_bitmask([p.ravel() for p in polygons], 100, 140)
        assert (drawn_polygon != pixels).mean() < 0.01
        assert (transform.apply_segmentation(mask).astype(bool) != pixels).mean() < 0.01
        assert all((p >= 0).all() and (p <= (140, 100)).all() for p in polygons)
        if (box[:2] >= 0).all() and (box[2:] <= (140, 100)).all():
            np.testing.assert_allclose(box_of(pixels), box, atol=1.5)
            num_whole += 1
        else:
            num_cut += 1
    assert num_whole > 30 and num_cut > 30


def test_the_centre_of_a_pixel_goes_to_the_centre_of_a_pixel():
    """To the last bit, where a map only moves whole pixels."""
    image = np.random.default_rng(0).integers(0, 256, (6, 5, 3), np.uint8)
    moved = AffineTransform(np.array([(1, 0, 2), (0, 1, -1)]), (6, 5)).apply_image(image)
    np.testing.assert_array_equal(moved[:5, 2:], image[1:, :3])
    assert not moved[5].any() and not moved[:, :2].any()
    larger = AffineTransform(np.array([(3, 0, 0), (0, 3, 0)]), (18, 15)).apply_image(image)
    np.testing.assert_array_equal(larger[1::3, 1::3], image)


@pytest.mark.parametrize("sign", [1, -1])
def test_matrix_is_that_of_the_official_code(monkeypatch, sign):
    """Centre, then rotation and scale as OpenCV defines them, then shear, then translation."""

    def extreme(low, high, size=None):
        return np.full(size or (), high if sign > 0 else low)

    monkeypatch.setattr(np.random, "uniform", extreme)
    augmentation = RandomAffine(10, (0.5, 2), 2, 0.1, output_size=(300, 400))
    matrix = augmentation.get_transform(np.zeros((500, 700, 3), np.uint8)).matrix
    angle, scale = np.radians(10) * sign, 2.0 if sign > 0 else 0.5
    cos, sin, tan = scale * np.cos(angle), scale * np.sin(angle), np.tan(np.radians(2)) * sign
    center = np.array([(1, 0, -350), (0, 1, -250), (0, 0, 1)])
    rotation = np.array([(cos, sin, 0), (-sin, cos, 0), (0, 0, 1)])
    shear = np.array([(1, tan, 0), (tan, 1, 0), (0, 0, 1)])
    share = 0.5 + 0.1 * sign
    translation = np.array([(1, 0, share * 400), (0, 1, share * 300), (0, 0, 1)])
    np.testing.assert_allclose(matrix, (translation @ shear @ rotation @ center)[:2], atol=1e-9)


def test_the_ranges_are_drawn_from_end_to_end():
    np.random.seed(0)
    augmentation = RandomAffine(scale=(0.5, 1.5), shear=0.0, output_size=(100, 140))
    image = np.zeros((*SIZE, 3), np.uint8)
    matrices = np.array([augmentation.get_transform(image).matrix for _ in range(2000)])
    scale = np.hypot(matrices[:, 0, 0], matrices[:, 0, 1])
    angle = np.degrees(np.arctan2(matrices[:, 0, 1], matrices[:, 0, 0]))
    center = (matrices[:, :, :2] @ (80, 60) + matrices[:, :, 2]) / (140, 100)
    for values, low, high in ((scale, 0.5, 1.5), (angle, -10, 10), (center, 0.4, 0.6)):
        width = high - low
        assert low - 1e-9 <= values.min() < low + 0.02 * width
        assert high + 1e-9 >= values.max() > high - 0.02 * width
        assert values.mean() == pytest.approx((low + high) / 2, abs=0.03 * width)


@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 1), (6, 5, 3), (6, 5, 4)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64, np.int64, bool])
def test_shapes_and_types_stay(shape, dtype):
    array = (np.random.default_rng(0).random(shape) * 3).astype(dtype)
    transform = AffineTransform(np.array([(1, 0, 1), (0, 1, 0)]), (7, 8), 2, 1)
    for apply, fill in ((transform.apply_image, 2), (transform.apply_segmentation, 1)):
        result = apply(array)
        assert result.shape == (7, 8, *shape[2:]) and result.dtype == dtype
        np.testing.assert_allclose(result[:6, 1:6], array, rtol=1e-6)  # Pillow has float32
        assert (result[:, 0] == np.array(fill, dtype)).all()


def test_it_knows_what_it_cannot_show():
    shown = hidden = 0
    for transform, _ in drawn(300, scale=(1.0, 3.0)):
        image = image_of(SIZE, (0, 0, 40, 30), (255, 0, 0))
        if transform.covers(np.array((0, 0, 40, 30))):
            shown += transform.apply_image(image).any()
        else:
            assert not transform.apply_image(image).any()
            hidden += 1
    assert shown > 30 and hidden > 30


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        *(("degrees", x) for x in (-1, 181, float("nan"), "ten", None)),
        *(("scale", x) for x in ((0, 2), (2, 1), (1,), 1.0, (0.1, float("inf")), ("a", "b"))),
        *(("shear", x) for x in (-1, 45, float("nan"))),
        *(("translate", x) for x in (-0.1, 1.1, ())),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(argument, value):
    with pytest.raises(InputError, match=rf"^{argument} of RandomAffine .* is .*: give") as error:
        RandomAffine(**{argument: value})
    assert "\n" not in str(error.value)

import numpy as np
import pytest

from eql_d2.data.mosaic.boxes import clip_boxes, have_area, survive


def official(before, after, min_side):
    """The rule in plain numbers: wider and higher than so many pixels, more than 0.2 of the area,
    sides of less than 20 to 1."""
    w1, h1 = before[2] - before[0], before[3] - before[1]
    w2, h2 = after[2] - after[0], after[3] - after[1]
    if w2 <= min_side or h2 <= min_side:
        return False
    return w2 * h2 / (w1 * h1 + 1e-16) > 0.2 and max(w2 / h2, h2 / w2) < 20


@pytest.mark.parametrize("min_side", [2, 5])
def test_rule_is_the_official_one(min_side):
    rng = np.random.default_rng(0)
    low = rng.uniform(-30, 60, (3000, 2))
    before = np.concatenate([low, low + 10 ** rng.uniform(0, 2.2, (3000, 2))], axis=1)
    after = clip_boxes(before, (50, 60))
    expected = [official(b, a, min_side) for b, a in zip(before, after)]
    assert survive(before, after, min_side).tolist() == expected
    assert 500 < sum(expected) < 2500


@pytest.mark.parametrize(
    ("box", "kept"),
    [
        ((0, 0, 2, 10), False),
        ((0, 0, 2.01, 10), True),
        ((0, 0, 10, 2), False),
        ((0, 0, 60, 3), False),  # 20 to 1
        ((0, 0, 59.9, 3), True),
    ],
)
def test_bounds_themselves_are_out(box, kept):
    box = np.array([box], float)
    assert survive(box, box, 2).tolist() == [kept]


def test_more_than_a_fifth_must_be_left():
    before = np.array([(0, 0, 100, 10)], float)
    assert not survive(before, np.array([(0, 0, 20, 10)], float), 2)[0]
    assert survive(before, np.array([(0, 0, 20.1, 10)], float), 2)[0]


def test_boxes_are_cut_to_height_and_width():
    boxes = np.array([(-5, -6, 300, 400), (10, 20, 30, 40), (500, 500, 600, 600)], float)
    cut = clip_boxes(boxes, (100, 200))
    assert cut.tolist() == [[0, 0, 200, 100], [10, 20, 30, 40], [200, 100, 200, 100]]
    assert have_area(cut).tolist() == [True, True, False]


def test_none_are_fine():
    none = np.zeros((0, 4))
    assert survive(none, none, 2).shape == have_area(none).shape == (0,)
    assert clip_boxes(none, (3, 4)).shape == (0, 4)

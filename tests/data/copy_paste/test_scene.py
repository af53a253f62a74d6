import numpy as np
import pycocotools.mask as mask_util
import pytest
from detectron2.structures import BoxMode

from eql_d2.data.copy_paste.cutout import Cutout
from eql_d2.data.copy_paste.scene import Scene
from tests.data.rectangles import annotation_of, corners_of

BOX = (10, 10, 30, 20)  # 20 x 10


def run_lengths(box, size=(40, 50)):
    mask = np.zeros(size, np.uint8, order="F")
    mask[box[1] : box[3], box[0] : box[2]] = 1
    return mask_util.encode(mask)


def scene_of(*annotations):
    return Scene(np.zeros((40, 50, 3), np.uint8), list(annotations))


def square(side, width=None, color=200):
    shape = (side, width or side)
    return Cutout(np.full((*shape, 3), color, np.uint8), np.ones(shape, bool))


@pytest.mark.parametrize("segmentation", [None, run_lengths(BOX)], ids=["polygon", "run lengths"])
def test_what_lies_below_loses_the_covered_part(segmentation):
    below = annotation_of(BOX, 1, segmentation)
    scene = scene_of(below)
    assert scene.paste(square(20), (20, 5), 7)  # the right half
    left, pasted = scene.annotations()
    assert left["bbox"] == [10, 10, 20, 20] and left["bbox_mode"] == BoxMode.XYXY_ABS
    assert left["category_id"] == 1 and mask_util.area(left["segmentation"]) == 100
    assert pasted["bbox"] == [20, 5, 40, 25] and pasted["category_id"] == 7
    assert mask_util.area(pasted["segmentation"]) == 400
    assert (scene.image[5:25, 20:40] == 200).all() and scene.image.sum() == 400 * 3 * 200
    assert below == annotation_of(BOX, 1, segmentation)  # the data stay


def test_a_hole_takes_from_the_mask_and_leaves_the_box():
    scene = scene_of(annotation_of(BOX))
    scene.paste(square(2), (15, 14), 7)
    left, _ = scene.annotations()
    assert left["bbox"] == [10, 10, 30, 20] and mask_util.area(left["segmentation"]) == 196


@pytest.mark.parametrize(("columns", "left"), [(20, 0), (19, 0), (18, 0), (17, 1)])
def test_what_is_covered_wholly_or_nearly_vanishes(columns, left):
    """A tenth of the object is 2 of its 20 columns."""
    scene = scene_of(annotation_of(BOX))
    scene.paste(square(10, columns), (10, 10), 7)
    assert len(scene.annotations()) == 1 + left


def test_what_is_not_covered_stays_as_it_is():
    """A mask with a hole, too, in whose box something is pasted."""
    ring = np.zeros((40, 50), np.uint8, order="F")
    ring[0:30, 0:30] = 1
    ring[5:25, 5:25] = 0
    ring = annotation_of((0, 0, 30, 30), 1, mask_util.encode(ring))
    away = annotation_of((40, 30, 45, 35), 2)
    scene = scene_of(ring, away)
    scene.paste(square(10), (10, 10), 7)
    assert scene.annotations()[:2] == [ring, away]


def test_a_crowd_region_is_not_cut():
    crowd = annotation_of(BOX) | {"iscrowd": 1}
    scene = scene_of(crowd)
    scene.paste(square(40), (0, 0), 7)
    assert scene.annotations()[0] == crowd


def test_a_later_one_covers_an_earlier_one():
    scene = scene_of()
    for x, category in ((0, 1), (5, 2), (30, 3), (28, 4)):
        scene.paste(square(10, color=category), (x, 0), category)
    areas = {x["category_id"]: mask_util.area(x["segmentation"]) for x in scene.annotations()}
    assert areas == {1: 50, 2: 100, 3: 20, 4: 100}
    scene.paste(square(10, 9), (31, 0), 5)  # of 3 nothing is left, of 4 three columns
    assert {x["category_id"] for x in scene.annotations()} == {1, 2, 4, 5}


@pytest.mark.parametrize(
    ("place", "box"),
    [
        ((-5, -6), [0, 0, 5, 4]),
        ((45, 35), [45, 35, 50, 40]),
        ((-9, 0), None),  # a tenth
        ((60, 0), None),
        ((-20, -20), None),
    ],
)
def test_the_edge_cuts_what_is_pasted(place, box):
    scene = scene_of()
    assert scene.paste(square(10), place, 7) is (box is not None)
    assert [x["bbox"] for x in scene.annotations()] == ([box] if box else [])
    assert scene.image.any() == (box is not None)


def test_only_the_pixels_of_the_mask_are_pasted():
    image = np.arange(40 * 50 * 3, dtype=np.uint64).reshape(40, 50, 3).astype(np.uint8)
    triangle = [np.array([10, 10, 30, 10, 10, 30], float)]
    cutout = Cutout.of(image, triangle)
    assert cutout.mask.shape == (19, 19) and 150 < cutout.mask.sum() < 210
    scene = scene_of()
    scene.paste(cutout, (12, 3), 7)
    changed = scene.image.any(axis=2)
    assert (changed[3:22, 12:31] <= cutout.mask).all() and changed.sum() <= cutout.mask.sum()
    np.testing.assert_array_equal(
        scene.image[3:22, 12:31][cutout.mask], image[10:29, 10:29][cutout.mask]
    )


def test_a_cutout_is_resized_with_its_mask():
    image = np.zeros((40, 50, 3), np.uint8)
    image[10:20, 10:30] = 255
    cutout = Cutout.of(image, [corners_of(BOX).ravel()])
    for factor in (0.3, 1.0, 2.0):
        resized = cutout.resize(factor)
        assert resized.mask.shape == (10 * factor, 20 * factor) and resized.mask.all()
        assert (resized.pixels == 255).all()
    assert Cutout.of(image, [np.array([100.0, 100, 101, 100, 101, 101])]) is None

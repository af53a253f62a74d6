"""The fractal dimension of the places of boxes."""

import math

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import BoxMode

from eql_d2 import FRACAL, InputError
from eql_d2.data import fractal_dimension, get_fractal_dimension

GRID = (np.stack(np.meshgrid(*[np.arange(64)] * 2), -1).reshape(-1, 2) + 0.5) / 64


def dimension_of(centres):
    return fractal_dimension(np.zeros(len(centres), dtype=int), np.asarray(centres), 1).item()


def by_hand(centres):
    """Each grid by a set of its cells, and the line by NumPy."""
    sides = [side for side in range(1, 65) if side**2 <= len(centres)]
    cells = [{(int(x * side), int(y * side)) for x, y in centres.tolist()} for side in sides]
    return max(np.polyfit(np.log(sides), np.log([len(c) for c in cells]), 1)[0], 1)


@pytest.mark.parametrize("count", [4, 9, 100, 3000])
def test_it_is_the_slope_of_the_boxes_counted(count):
    centres = np.random.default_rng(count).beta(2, 5, size=(count, 2))
    assert dimension_of(centres) == pytest.approx(by_hand(centres), rel=1e-9)


def test_an_area_has_two_dimensions_a_line_and_a_point_one():
    assert dimension_of(GRID) == pytest.approx(2)
    assert dimension_of(GRID * [1, 0] + [0, 0.37]) == pytest.approx(1)
    assert dimension_of(np.full((500, 2), 0.3)) == 1


def test_few_boxes_have_none_and_borders_belong_to_the_last_cell():
    assert dimension_of(GRID[::64][:3]) == 1
    corners = [[0.2, 0.2], [0.2, 1.0], [1.0, 0.2], [1.0, 1.0]]
    assert dimension_of(corners) == pytest.approx(2)
    assert dimension_of(np.array(corners) * 1.5 - 0.25) == pytest.approx(2)


def margins(centres_of_classes, **kwargs):
    """FRACAL's of classes in as many images each."""
    counts = [len(centres) for centres in centres_of_classes]
    classes = np.repeat(np.arange(len(counts)), counts)
    dimension = fractal_dimension(classes, np.concatenate(centres_of_classes), len(counts))
    calibration = FRACAL(len(counts), torch.full((len(counts),), 0.1), dimension, **kwargs)
    return -calibration(torch.zeros(1, len(counts) + 1, dtype=torch.float64))[0, :-1]


def test_without_a_bias_of_location_the_spatial_part_brings_nothing_and_with_one_something():
    """What it moves between classes: of places that are alike nothing, and for those of a class
    that is found in one place only the share of its score grows fourfold."""
    everywhere = [GRID, GRID[::-1], (GRID + 0.5) % 1]
    without = margins(everywhere) - margins(everywhere, lambda_=0.0)
    assert without.max() - without.min() < 1e-12
    drawn = np.random.default_rng(0).random((3, 4096, 2))
    without = margins(list(drawn)) - margins(list(drawn), lambda_=0.0)
    assert without.max() - without.min() < 0.02
    biased = [GRID, GRID / 32 + 0.5, GRID]
    gain = margins(biased)
    assert gain[0] == gain[2] and gain[0] - gain[1] == pytest.approx(2 * math.log(2), rel=0.05)


@pytest.fixture
def register():
    """A function that registers records, and returns a list that grows when they are loaded."""
    registered = []

    def add(name, records, names):
        loaded = []
        registered.append(name)
        DatasetCatalog.register(name, lambda: loaded.append(name) or records)
        MetadataCatalog.get(name).set(thing_classes=names)
        return loaded

    yield add
    for name in registered:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


def records(points, mode):
    """A box around each point, of class 1, in an image of its own with a crowd of class 0."""
    crowd = {"bbox": [0, 0, 1, 1], "bbox_mode": 0, "category_id": 0, "iscrowd": 1}
    for x, y in points:
        (left, top), size = (100 * x - 2, 50 * y - 1), (4, 2)
        far = size if mode == BoxMode.XYWH_ABS else (left + size[0], top + size[1])
        box = {"bbox": [left, top, *far], "bbox_mode": mode, "category_id": 1}
        yield {"width": 100, "height": 50, "annotations": [box, crowd]}


def test_centres_come_from_the_annotations_in_units_of_their_image_and_once(register):
    """Of both modes of boxes, without crowds, of all data sets together."""
    points = np.random.default_rng(0).beta(2, 2, size=(200, 2))
    first = register("places_0", list(records(points[:90], BoxMode.XYWH_ABS)), ["a", "b", "c"])
    register("places_1", list(records(points[90:], BoxMode.XYXY_ABS)), ["a", "b", "c"])
    for _ in range(3):  # as the stages of a cascade do
        found = get_fractal_dimension(["places_0", "places_1"])
        assert found.tolist() == pytest.approx([1, by_hand(points), 1], rel=1e-9)
    assert len(first) == 1
    DatasetCatalog.remove("places_0")
    DatasetCatalog.register("places_0", lambda: [])
    found = get_fractal_dimension(["places_0", "places_1"])
    assert found.tolist() == pytest.approx([1, by_hand(points[90:]), 1], rel=1e-9)


def test_data_without_boxes_get_one_line(register):
    register("no_places", [{"width": 4, "height": 4, "annotations": []}], ["a"])
    message = "^training data 'no_places' have no boxes, .* set MODEL.EQL.CALIBRATION.NAME to NorC"
    with pytest.raises(InputError, match=message) as error:
        get_fractal_dimension("no_places")
    assert "\n" not in str(error.value)

"""Where the boxes of each class lie in the images, as one number: the fractal dimension."""

import logging
from collections.abc import Sequence

import numpy as np
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import BoxMode
from torch import Tensor

from ..distributed import from_main_process
from ..exceptions import InputError
from .category_table import as_names
from .class_lists import adopt_training_classes

logger = logging.getLogger(__name__)

# Cells along a side of the finest grid, and fewest boxes of a class that has a dimension
_FINEST, _FEWEST = 64, 4
# By names of data sets: their registrations, and what was found
_FOUND: dict[tuple[str, ...], tuple[list, Tensor]] = {}


def fractal_dimension(classes: np.ndarray, centres: np.ndarray, num_classes: int) -> np.ndarray:
    r"""Fractal dimension of the box centres of each class, by box counting (arXiv 2410.11774).

    Over grids of :math:`G \times G` cells, G = 1 to 64, N(G) is the number of cells in which the
    class has a centre; the dimension is the slope of a straight line through
    :math:`(\ln G, \ln N(G))` for the grids with no more cells than the class has boxes. It is 2 for
    centres all over the image, 1 for a line, and never taken below 1, which is also that of a class
    with fewer than 4 boxes. All as in the official code, but that a centre on the right or the
    lower border, or beyond one, belongs to the last cell.

    Args:
        classes: class index of each box, (N,), 0 to C - 1.
        centres: x and y in units of the image's width and height, (N, 2).
        num_classes: C.

    Returns:
        float64 (C,), from 1.
    """
    sides = np.arange(1, _FINEST + 1)
    cells = np.empty((num_classes, _FINEST))
    for column, side in enumerate(sides):
        x, y = np.clip(np.floor(centres * side), 0, side - 1).astype(np.int64).T
        is_occupied = np.zeros((num_classes, side * side), dtype=bool)
        is_occupied[classes, side * y + x] = True
        cells[:, column] = is_occupied.sum(1)
    count = np.bincount(classes, minlength=num_classes)
    weight = count[:, None] >= sides**2
    has_dimension = count >= _FEWEST
    slope = _slopes(np.log(sides), np.log(cells[has_dimension]), weight[has_dimension])
    dimension = np.ones(num_classes)
    dimension[has_dimension] = slope.clip(min=1)
    return dimension


def _slopes(x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Slope of the least squares line through the points x (n,), y (m, n) of weight 1, (m,)."""
    mean = (weight * x).sum(1, keepdims=True) / weight.sum(1, keepdims=True)
    offset = weight * (x - mean)
    return (offset * y).sum(1) / (offset**2).sum(1)


def get_fractal_dimension(dataset_names: str | Sequence[str]) -> Tensor:
    """:func:`fractal_dimension` of the classes of training data, the Phi of FRACAL; crowd regions
    do not count. Collective, and found once.

    Args:
        dataset_names: one or several registered data sets, taken together.

    Returns:
        float64 (C,), from 1.

    Raises:
        InputError: no data set given, or they have no boxes.
    """
    names = tuple(as_names(dataset_names))
    if len(names) > 1:
        adopt_training_classes(names, ())
    present = [(MetadataCatalog.get(name), DatasetCatalog.data.get(name)) for name in names]
    found = _FOUND.get(names)
    if found is None or found[0] != present:
        found = present, torch.as_tensor(from_main_process(lambda: _of_data_sets(names)))
        _FOUND[names] = found
    return found[1]


def _of_data_sets(names: Sequence[str]) -> np.ndarray:
    logger.info(f"Looking where the boxes of {', '.join(names)} lie")
    records = [record for name in names for record in DatasetCatalog.get(name)]
    num_classes = len(MetadataCatalog.get(names[0]).get("thing_classes", ()))
    boxes = [
        (note["category_id"], note["bbox_mode"], record["width"], record["height"], *note["bbox"])
        for record in records
        for note in record.get("annotations", ())
        if "bbox" in note and not note.get("iscrowd", 0)
    ]
    if not boxes:
        raise InputError(
            f"training data {', '.join(map(repr, names))} have no boxes, by whose places FRACAL "
            "goes: set MODEL.EQL.CALIBRATION.NAME to NorCal"
        )
    table = np.array(boxes, dtype=np.float64)
    classes, modes, sizes, boxes = table[:, 0].astype(int), table[:, 1], table[:, 2:4], table[:, 4:]
    for mode in np.unique(modes).astype(int):
        rows = modes == mode
        boxes[rows] = BoxMode.convert(boxes[rows], BoxMode(mode), BoxMode.XYXY_ABS)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2 / sizes
    return fractal_dimension(classes, centres, num_classes)

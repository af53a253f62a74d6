"""Detections of rare categories: truth beside prediction, where they are worst and best."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from detectron2.data.detection_utils import read_image
from detectron2.structures import BoxMode
from detectron2.utils.visualizer import Visualizer
from PIL import Image

from ..exceptions import InputError
from .drawing import VERMILLION
from .predictions import find_predictions, load_truth, read_predictions
from .rendering import data_address
from .run import Run, score_name

_RARE = ("r", "1")  # of LVIS and our own groups; of Open Images
_NUM_EACH = 2
_PANEL_PIXELS = 480
_MOST_BYTES = 1_000_000
_OTHER_COLOR = "#b8bdc4"


class Panel(NamedTuple):
    """A picture of an example, as address of an ``<img>``, with its texts."""

    address: str
    title: str
    alternative: str


class Example(NamedTuple):
    """A category in one test image: the truth, then the prediction of each run."""

    title: str
    panels: list[Panel]


class _Object(NamedTuple):
    """What is drawn of an object: class index, label, box XYXY and mask, one of them or both."""

    index: int
    label: str
    box: list[float] | None
    mask: dict | list | None


def draw_examples(runs: Sequence[Run], problems: list[str]) -> list[Example]:
    """Examples of the rare categories of the highest and of the lowest score.

    With several runs those whose score has changed most from the first to the last run. Nothing for
    runs that do not detect.

    Args:
        runs: with the same test data.
        problems: gets a line if there should be examples but something is missing.
    """
    if not any(_detects(task) for task in runs[-1].tables):
        return []
    try:
        return _draw_examples(runs)
    # Images, annotations and predictions of any origin: no page must fail because of them.
    except (OSError, ValueError, LookupError, TypeError, AssertionError) as error:
        reason = str(error) if isinstance(error, (InputError, OSError)) else repr(error)
        problems.append(f"There are no examples of detections: {reason}")
        return []


def _detects(task: str) -> bool:
    return task.endswith(("bbox", "segm"))


def _draw_examples(runs: Sequence[Run]) -> list[Example]:
    files = [find_predictions(run) for run in runs]
    tables = _tables(runs, files[-1])
    chosen = _choose_categories(tables)
    truth = load_truth(runs[-1], files[-1])
    images = {index: _clearest_image(truth, index) for index in chosen}
    image_ids = [record["image_id"] for record in images.values()]
    predictions = [read_predictions(path, image_ids) for path in files]
    names = [run.name for run in runs] if len(runs) > 1 else ["prediction"]
    examples, num_bytes = [], 0
    for index, title in chosen.items():
        record = images[index]
        image = read_image(record["file_name"], "RGB")
        truth_objects = _truth_objects(record, tables[-1])
        shown = [
            _predicted_objects(found[record["image_id"]][: len(truth_objects)], tables[-1])
            for found in predictions
        ]
        if not any(drawn.mask for objects in shown for drawn in objects):
            truth_objects = [drawn._replace(mask=None) for drawn in truth_objects]
        panels = [_panel(image, "truth", truth_objects, index)]
        panels += [_panel(image, name, objects, index) for name, objects in zip(names, shown)]
        num_bytes += sum(len(panel.address) for panel in panels)
        if num_bytes > _MOST_BYTES:
            break
        examples.append(Example(title, panels))
    return examples


def _tables(runs: Sequence[Run], predictions: Path) -> list[list[dict]]:
    """Scores of each run: of masks if the predictions have them."""
    kind = "bbox" if "bbox" in predictions.name else "segm"
    tasks = sorted(filter(_detects, runs[-1].tables), key=lambda task: not task.endswith(kind))
    if any(tasks[0] not in run.tables for run in runs):
        raise InputError(f"not all runs have scores of {tasks[0]}")
    return [run.tables[tasks[0]] for run in runs]


def _choose_categories(tables: Sequence[list[dict]]) -> dict[int, str]:
    """Class index and title of the best and the worst rare categories."""
    key = score_name(tables[-1])
    tested = [
        index
        for index, row in enumerate(tables[-1])
        if row.get("group") in _RARE and all(table[index].get(key) is not None for table in tables)
    ]
    if not tested:
        raise InputError("no rare category has a score")

    def measure(index: int) -> float:
        before = tables[0][index][key] if len(tables) > 1 else 0
        return tables[-1][index][key] - before

    tested.sort(key=measure)
    high, low = tested[::-1][:_NUM_EACH], tested[:_NUM_EACH]
    words = ("most improved", "least improved") if len(tables) > 1 else ("best", "worst")
    titles = {}
    for word, indices in zip(words, (high, low)):
        for index in indices:
            scores = " to ".join(f"{table[index][key]:.1f}" for table in tables)
            titles.setdefault(index, f"{tables[-1][index]['name']}: {word}, {key} {scores}")
    return titles


def _clearest_image(truth: Sequence[dict], index: int) -> dict:
    """The test image in which an object of the class takes the largest share."""

    def share(record: dict) -> float:
        boxes = [_box(a) for a in record["annotations"] if a["category_id"] == index]
        areas = [(right - left) * (bottom - top) for left, top, right, bottom in boxes]
        return max(areas, default=0) / (record["height"] * record["width"])

    return max(truth, key=share)


def _truth_objects(record: dict, table: Sequence[dict]) -> list[_Object]:
    return [
        _Object(
            annotation["category_id"],
            str(table[annotation["category_id"]]["name"]),
            _box(annotation),
            annotation.get("segmentation"),
        )
        for annotation in record["annotations"]
        if not annotation.get("iscrowd")
    ]


def _box(annotation: dict) -> list[float]:
    return list(BoxMode.convert(annotation["bbox"], annotation["bbox_mode"], BoxMode.XYXY_ABS))


def _predicted_objects(rows: Sequence[dict], table: Sequence[dict]) -> list[_Object]:
    class_of = {category["id"]: index for index, category in enumerate(table)}
    objects = []
    for row in rows:
        index = class_of[row["category_id"]]
        box = _box(row | {"bbox_mode": BoxMode.XYWH_ABS}) if "bbox" in row else None
        label = f"{table[index]['name']} {row['score']:.0%}"
        objects.append(_Object(index, label, box, row.get("segmentation")))
    return objects


def _panel(image: np.ndarray, title: str, objects: Sequence[_Object], index: int) -> Panel:
    """Draw the objects, those of the class `index` last and in colour."""
    scale = _PANEL_PIXELS / max(image.shape[:2])
    visualizer = Visualizer(image, scale=scale, font_size_scale=1.4)
    for is_chosen, color in ((False, _OTHER_COLOR), (True, VERMILLION)):
        shown = [drawn for drawn in objects if (drawn.index == index) == is_chosen]
        boxes = [drawn.box for drawn in shown]
        masks = [drawn.mask for drawn in shown]
        visualizer.overlay_instances(
            boxes=np.array(boxes) if shown and None not in boxes else None,
            masks=masks if shown and None not in masks else None,
            labels=[drawn.label.replace("$", r"\$") for drawn in shown],
            assigned_colors=[color] * len(shown),
            alpha=0.35,
        )
        for box in boxes if is_chosen else ():
            if box is not None:
                visualizer.draw_box(box, alpha=1, edge_color=color)  # once more, not transparent
    buffer = io.BytesIO()
    Image.fromarray(visualizer.get_output().get_image()).save(buffer, "JPEG", quality=80)
    labels = ", ".join(drawn.label for drawn in objects) or "nothing"
    return Panel(data_address("image/jpeg", buffer.getvalue()), title, f"{title}: {labels}")

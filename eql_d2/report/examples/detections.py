"""Examples of detection: truth beside the detections of each run."""

from collections.abc import Iterator, Sequence

import numpy as np
from detectron2.data.detection_utils import read_image
from detectron2.structures import BoxMode
from detectron2.utils.visualizer import Visualizer
from PIL import Image

from ..drawing import VERMILLION
from ..run import Run, categories_of
from .parts import (
    Example,
    Panel,
    category_title,
    check_same_categories,
    encoded,
    rarest,
    run_titles,
)
from .predictions import find_predictions, load_truth, read_predictions

MOST = 4
HOW = (
    "Here the share is that of its largest box. There are as many detections as objects, those of "
    "the highest scores. The category in question is coloured, all others are grey."
)
_PANEL_PIXELS = 480
_OTHER_COLOR = "#b8bdc4"


def detection_examples(runs: Sequence[Run], task: str) -> Iterator[Example]:
    """Examples, the rarest category first.

    Args:
        runs: with the same test data.
        task: of the tables.

    Raises:
        InputError: a run has no detections; the test data or their training images are not known.
    """
    check_same_categories(runs, task)
    files = [find_predictions(run) for run in runs]
    truth = load_truth(runs[-1], files[-1])
    table, categories = runs[-1].tables[task], categories_of(runs[-1], task)
    chosen = rarest(categories, {a["category_id"] for r in truth for a in _objects(r)})[:MOST]
    images = {index: _clearest_image(truth, index) for index in chosen}
    image_ids = [record["image_id"] for record in images.values()]
    predictions = [read_predictions(path, image_ids) for path in files]
    labels = [str(row["name"]) for row in table]
    class_of = {row["id"]: index for index, row in enumerate(table)}
    for index, record in images.items():
        image = read_image(record["file_name"], "RGB")
        objects = _objects(record)
        detected = [
            [_as_annotation(row, class_of) for row in found[record["image_id"]][: len(objects)]]
            for found in predictions
        ]
        if not any(entry.get("segmentation") for entries in detected for entry in entries):
            objects = [entry | {"segmentation": None} for entry in objects]
        titles = ["truth", *run_titles(runs, task, index)]
        panels = [
            _panel(image, title, entries, labels, index)
            for title, entries in zip(titles, [objects, *detected])
        ]
        yield Example(category_title(categories[index]), panels)


def _objects(record: dict) -> list[dict]:
    return [entry for entry in record["annotations"] if not entry.get("iscrowd")]


def _clearest_image(truth: Sequence[dict], index: int) -> dict:
    """The test image in which an object of the class takes the largest share, of equal ones the
    first by file name."""

    def rank(record: dict) -> tuple[float, str]:
        boxes = [_box(a) for a in _objects(record) if a["category_id"] == index]
        areas = [(right - left) * (bottom - top) for left, top, right, bottom in boxes]
        share = max(areas, default=0) / (record["height"] * record["width"])
        return -share, record["file_name"]

    return min(truth, key=rank)


def _as_annotation(row: dict, class_of: dict) -> dict:
    """A detection in the format of the truth: class index, and mode of the box."""
    return row | {"category_id": class_of[row["category_id"]], "bbox_mode": BoxMode.XYWH_ABS}


def _box(entry: dict) -> list[float] | None:
    if "bbox" not in entry:
        return None
    return list(BoxMode.convert(entry["bbox"], entry["bbox_mode"], BoxMode.XYXY_ABS))


def _label(entry: dict, names: Sequence[str]) -> str:
    score = f" {entry['score']:.0%}" if "score" in entry else ""
    return names[entry["category_id"]] + score


def _panel(
    image: np.ndarray, title: str, entries: Sequence[dict], names: Sequence[str], index: int
) -> Panel:
    """Draw annotations or detections, those of the class `index` last and in colour."""
    scale = _PANEL_PIXELS / max(image.shape[:2])
    visualizer = Visualizer(image, scale=scale, font_size_scale=1.4)
    for is_chosen, color in ((False, _OTHER_COLOR), (True, VERMILLION)):
        shown = [entry for entry in entries if (entry["category_id"] == index) == is_chosen]
        boxes = [_box(entry) for entry in shown]
        masks = [entry.get("segmentation") for entry in shown]
        visualizer.overlay_instances(
            boxes=np.array(boxes) if shown and None not in boxes else None,
            masks=masks if shown and None not in masks else None,
            labels=[_label(entry, names).replace("$", r"\$") for entry in shown],
            assigned_colors=[color] * len(shown),
            alpha=0.35,
        )
        for box in boxes if is_chosen else ():
            if box is not None:
                visualizer.draw_box(box, alpha=1, edge_color=color)  # once more, not transparent
    picture = Image.fromarray(visualizer.get_output().get_image())
    labels = ", ".join(_label(entry, names) for entry in entries) or "nothing"
    return Panel(title, encoded(picture, _PANEL_PIXELS), f"{title}; {labels}")

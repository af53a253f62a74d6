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
from .run import Run, score_name, scores_of

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


def draw_examples(runs: Sequence[Run], problems: list[str]) -> list[tuple[str, list[Panel]]]:
    """Examples of the rare categories of the highest and of the lowest score.

    With several runs those whose score has changed most from the first to the last run. Nothing for
    runs that do not detect.

    Args:
        runs: with the same test data.
        problems: gets a line if there should be examples but something is missing.

    Returns:
        Title of each example, and its panels: the truth, then the prediction of each run.
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


def _draw_examples(runs: Sequence[Run]) -> list[tuple[str, list[Panel]]]:
    files = [find_predictions(run) for run in runs]
    tables = _tables(runs, files[-1])
    chosen = _choose_categories(tables)
    truth = load_truth(runs[-1], files[-1])
    images = {index: _clearest_image(truth, index) for index in chosen}
    image_ids = [record["image_id"] for record in images.values()]
    predictions = [read_predictions(path, image_ids) for path in files]
    labels = [str(row["name"]) for row in tables[-1]]
    class_of = {row["id"]: index for index, row in enumerate(tables[-1])}
    names = ["truth", *([run.name for run in runs] if len(runs) > 1 else ["prediction"])]
    examples, num_bytes = [], 0
    for index, title in chosen.items():
        record = images[index]
        image = read_image(record["file_name"], "RGB")
        objects = [entry for entry in record["annotations"] if not entry.get("iscrowd")]
        detected = [
            [_as_annotation(row, class_of) for row in found[record["image_id"]][: len(objects)]]
            for found in predictions
        ]
        if not any(entry.get("segmentation") for entries in detected for entry in entries):
            objects = [entry | {"segmentation": None} for entry in objects]
        panels = [
            _panel(image, name, entries, labels, index)
            for name, entries in zip(names, [objects, *detected])
        ]
        num_bytes += sum(len(panel.address) for panel in panels)
        if num_bytes > _MOST_BYTES:
            break
        examples.append((title, panels))
    return examples


def _tables(runs: Sequence[Run], predictions: Path) -> list[list[dict]]:
    """Scores of each run, on the same categories: of masks if the predictions have them."""
    kind = "bbox" if "bbox" in predictions.name else "segm"
    tasks = sorted(filter(_detects, runs[-1].tables), key=lambda task: not task.endswith(kind))
    if any(tasks[0] not in run.tables for run in runs):
        raise InputError(f"not all runs have scores of {tasks[0]}")
    tables = [run.tables[tasks[0]] for run in runs]
    if len({len(table) for table in tables}) > 1:
        raise InputError("the runs are scored on different categories")
    return tables


def _choose_categories(tables: Sequence[list[dict]]) -> dict[int, str]:
    """Class index and title of the best and the worst rare categories."""
    key, scores = score_name(tables[-1]), [scores_of(table) for table in tables]
    measure = scores[-1] - scores[0] if len(tables) > 1 else scores[0]
    is_rare = [row.get("group") in _RARE for row in tables[-1]]
    candidates = np.isfinite(scores).all(axis=0) & is_rare
    order = np.argsort(measure, kind="stable")
    tested = [index for index in order if candidates[index]]
    if not tested:
        raise InputError("no rare category has a score")
    high, low = tested[::-1][:_NUM_EACH], tested[:_NUM_EACH]
    words = ("most improved", "least improved") if len(tables) > 1 else ("best", "worst")
    titles = {}
    for word, indices in zip(words, (high, low)):
        for index in indices:
            change = " to ".join(f"{score[index]:.1f}" for score in scores)
            titles.setdefault(index, f"{tables[-1][index]['name']}: {word}, {key} {change}")
    return titles


def _clearest_image(truth: Sequence[dict], index: int) -> dict:
    """The test image in which an object of the class takes the largest share."""

    def share(record: dict) -> float:
        boxes = [_box(a) for a in record["annotations"] if a["category_id"] == index]
        areas = [(right - left) * (bottom - top) for left, top, right, bottom in boxes]
        return max(areas, default=0) / (record["height"] * record["width"])

    return max(truth, key=share)


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
    buffer = io.BytesIO()
    Image.fromarray(visualizer.get_output().get_image()).save(buffer, "JPEG", quality=80)
    labels = ", ".join(_label(entry, names) for entry in entries) or "nothing"
    return Panel(data_address("image/jpeg", buffer.getvalue()), title, f"{title}: {labels}")

"""Single images out of what the evaluators have left: truth, and predictions from large files."""

import json
import math
import mmap
import re
from collections.abc import Iterable
from pathlib import Path

from detectron2.data import DatasetCatalog

from ...data import Limits
from ...data.datasets.json_instances import read_json_instances
from ...exceptions import InputError
from ..run import Run, flatten

# Results of our evaluators, and whether they have masks; those with masks first.
_FILES = (
    "lvis_segm_results.json",
    "coco_instances_results.json",
    "lvis_bbox_results.json",
    "open_images_bbox_results.json",
)


def find_predictions(run: Run) -> Path:
    """The file with the detections of the last evaluation.

    Raises:
        InputError: there is none.
    """
    folder = run.output_dir / "inference"
    paths = [path for name in _FILES for path in sorted(folder.glob(f"**/{name}"))]
    if not paths:
        raise InputError(f"{folder} has no file of detections, such as {_FILES[0]}")
    return paths[0]


def load_truth(run: Run, predictions: Path) -> list[dict]:
    """The test data in Detectron2's standard format.

    They are found by their name in ``DATASETS.JSON`` of the config, or among the registered ones.

    Raises:
        InputError: they are not known, or their annotations cannot be read.
    """
    name = _dataset_name(run, predictions)
    if name in DatasetCatalog.list():
        try:
            return DatasetCatalog.get(name)
        except FileNotFoundError as error:
            raise InputError(f"test data {name!r}: {error.filename} does not exist") from error
    for entry in run.config.get("DATASETS", {}).get("JSON", ()):
        if entry[0] == name:
            return read_json_instances(*entry[:3], Limits(math.inf))[1]
    raise InputError(f"test data {name!r} are neither registered nor in DATASETS.JSON of the run")


def read_predictions(path: Path, image_ids: Iterable[int]) -> dict[int, list[dict]]:
    """Detections of some images, best first.

    A file of millions of detections is searched, not parsed.

    Args:
        path: JSON list of detections that begin with their `image_id`, as our evaluators and
            Detectron2's write them.
        image_ids: images to look for.
    """
    found = {image_id: [] for image_id in image_ids}
    wanted = "|".join(map(str, found)).encode()
    pattern = re.compile(rb'\{"image_id": (' + wanted + rb")\b")
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        for match in pattern.finditer(text):
            end = text.find(b'{"image_id"', match.end())
            row = text[match.start() : end if end >= 0 else len(text)]
            found[int(match[1])].append(json.loads(row[: row.rindex(b"}") + 1]))
    return {
        image_id: sorted(rows, key=lambda row: -row["score"]) for image_id, rows in found.items()
    }


def _dataset_name(run: Run, predictions: Path) -> str:
    """The only test set of the run, or of several that in whose folder the file is."""
    settings = dict(flatten(run.config))
    names = settings.get("DATASETS.TEST", settings.get("dataloader.test.dataset.names", ()))
    names = [names] if isinstance(names, str) else list(names)
    return names[0] if len(names) == 1 else predictions.parent.name

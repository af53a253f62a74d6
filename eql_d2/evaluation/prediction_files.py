"""Predictions on disk: each rank writes its own files, the main process joins them.

A file of a rank has one line per image, the JSON list of its detections. Nothing here holds more
than one image's detections as Python objects, however large the data set is.
"""

import dataclasses
import json
import os
from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import TextIO

import numpy as np
import pycocotools.mask as mask_util

from ..exceptions import InputError
from ..files import open_atomic


@dataclasses.dataclass(frozen=True)
class PartFile:
    """A finished file of one rank: its path and its size in bytes."""

    path: str
    size: int


class PartWriter:
    """Writes detections of one rank, one file for each stream name, opened when first needed.

    A file of the same name, left behind by a run that was killed, is overwritten.
    """

    def __init__(self, directory: str, rank: int) -> None:
        self._directory = directory
        self._rank = rank
        self._files: dict[str, TextIO] = {}

    def write(self, stream: str, rows: list[dict]) -> None:
        """Append the detections of one image."""
        if stream not in self._files:
            name = f"lvis_{stream}_rank{self._rank}.jsonl"
            self._files[stream] = open(os.path.join(self._directory, name), "w", encoding="utf-8")
        if rows:
            self._files[stream].write(json.dumps(rows, allow_nan=False) + "\n")

    def close(self) -> dict[str, PartFile]:
        """Bring everything to disk and return the finished file of each stream."""
        parts = {}
        for stream, file in self._files.items():
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
            file.close()
            parts[stream] = PartFile(os.path.abspath(file.name), size)
        self._files.clear()
        return parts


def join_parts(parts: Sequence[PartFile], path: str) -> None:
    """Write the detections of all parts into one JSON list, in the order of the parts.

    Raises:
        InputError: a part is missing or incomplete, so the ranks do not share the directory.
    """
    # The detections of a line stand between its brackets; there is no need to parse them.
    _write_json_list(path, (line.strip()[1:-1] for line in _lines(parts)))


def join_top_per_category(parts: Sequence[PartFile], path: str, limit: int) -> None:
    """Like `join_parts`, with only the `limit` best detections of each category.

    Of equal scores the earlier one stays. Detections without area count for the limit and are
    dropped afterwards, the order in which lvis-api does the two. Reads the parts twice, because
    no more than twice `limit` scores of each category are ever held in memory.
    """
    thresholds = _score_thresholds(parts, limit)

    def chosen(line: str) -> str:
        rows = [row for row in json.loads(line) if _within(thresholds, row)]
        return json.dumps([row for row in rows if has_area(row)])[1:-1]

    _write_json_list(path, (chosen(line) for line in _lines(parts)))


def is_empty(path: str) -> bool:
    """Whether a file of `join_parts` or `join_top_per_category` holds no detection."""
    return os.path.getsize(path) == len("[]")


def has_area(row: dict) -> bool:
    """Whether lvis-api would see the detection at all: it skips those without area."""
    if "bbox" in row:
        _, _, width, height = row["bbox"]
        return width * height > 0
    return mask_util.area(row["segmentation"]) > 0


def _lines(parts: Sequence[PartFile]) -> Iterator[str]:
    for part in parts:
        found = os.path.getsize(part.path) if os.path.exists(part.path) else None
        if found != part.size:
            raise InputError(
                f"{part.path} has {part.size} bytes where it was written and "
                f"{found or 'none'} here: give an output_dir on a file system all ranks share"
            )
        with open(part.path, encoding="utf-8") as file:
            yield from file


def _write_json_list(path: str, items: Iterable[str]) -> None:
    with open_atomic(path) as file:
        separator = "["
        for item in filter(None, items):
            file.write(separator + item)
            separator = ",\n"
        file.write("[]" if separator == "[" else "]")


def _score_thresholds(parts: Sequence[PartFile], limit: int) -> dict[int, list]:
    """For each category with more than `limit` detections: [lowest score, how many of that]."""
    scores: dict[int, array] = defaultdict(lambda: array("d"))
    for line in _lines(parts):
        for row in json.loads(line):
            kept = scores[row["category_id"]]
            kept.append(row["score"])
            if len(kept) >= 2 * limit:
                # One more than needed: that there are more than `limit` must stay known.
                kept[:] = array("d", np.partition(kept, -limit - 1)[-limit - 1 :])
    thresholds = {}
    for category_id, kept in scores.items():
        if len(kept) > limit:
            best = np.partition(kept, -limit)[-limit:]
            thresholds[category_id] = [best.min(), limit - np.count_nonzero(best > best.min())]
    return thresholds


def _within(thresholds: dict[int, list], row: dict) -> bool:
    threshold = thresholds.get(row["category_id"])
    if threshold is None or row["score"] > threshold[0]:
        return True
    if row["score"] < threshold[0] or threshold[1] == 0:
        return False
    threshold[1] -= 1
    return True

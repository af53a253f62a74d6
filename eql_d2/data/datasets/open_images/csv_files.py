"""Rows of the csv files of Open Images."""

import csv
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from tqdm import tqdm

from ....exceptions import InputError
from ....files import open_text


def read_rows(path: str | os.PathLike, columns: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Line number and values of the columns of each row, one row at a time.

    Raises:
        InputError: the file or a column is missing, or a row is too short.
    """
    with open_text(path, newline="") as file:
        reader = csv.reader(file)
        header = next(reader, [])
        for column in columns:
            if column not in header:
                raise InputError(
                    f"{path} has no column {column!r} in its first line: give the official csv file"
                )
        places = [header.index(column) for column in columns]
        for row in tqdm(reader, desc=Path(path).name, unit=" rows", unit_scale=True, disable=None):
            if len(row) < len(header):
                raise InputError(
                    f"{path} line {reader.line_num} has {len(row)} of {len(header)} columns: "
                    "it may be cut off, fetch the file again"
                )
            yield reader.line_num, [row[place] for place in places]


def to_pixels(where: str, coordinates: Sequence[str], width: int, height: int) -> list[float]:
    """[x, y, width, height] in pixels, to a thousandth, from XMin, XMax, YMin, YMax in [0, 1].

    Raises:
        InputError: they are no such numbers; the message begins with `where`.
    """
    try:
        left, right, top, bottom = map(float, coordinates)
        valid = 0 <= left <= right <= 1 and 0 <= top <= bottom <= 1
    except ValueError:
        valid = False
    if not valid:
        raise InputError(
            f"{where} has XMin, XMax, YMin, YMax {', '.join(coordinates)}: "
            "they must rise and be in [0, 1]"
        )
    box = (left * width, top * height, (right - left) * width, (bottom - top) * height)
    return [round(value, 3) for value in box]

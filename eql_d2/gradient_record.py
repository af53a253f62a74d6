"""The record of a training: accumulated gradients and ratio of every category over time.

``gradient_record.dat`` is an array of fixed-size rows, one for each logged iteration, and
``gradient_record.json`` says what is in them. NumPy alone reads them::

    header = json.load(open("gradient_record.json"))
    values = [("pos_grad", "<f4"), ("neg_grad", "<f4"), ("ratio", "<f4")]
    losses = [(path, [(*v, (C,)) for v in values]) for path, C in header["losses"].items()]
    dtype = [("iteration", "<i8"), *losses, ("checksum", "<u4")]
    rows = np.fromfile("gradient_record.dat", dtype)

The checksum is ``zlib.crc32`` of the bytes of the row before it. :func:`read_record` does the
same and leaves out what a crash or a bad disk has damaged.

No standard container does the same: an ``.npz`` or Parquet file is whole only once it is closed,
HDF5 is damaged by a kill while it is written, and SQLite's locks are not to be relied on over the
network file systems on which clusters train.
"""

import json
import logging
import os
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .exceptions import InputError
from .files import open_atomic
from .versions import versions

logger = logging.getLogger(__name__)

_VERSION = 1
_HEADER, _ROWS = "gradient_record.json", "gradient_record.dat"
_CHECKSUM_BYTES = 4


class LossRecord(NamedTuple):
    """What the record has of one loss; float32 (T, C) each, T logged iterations of C classes.

    Attributes:
        pos_grad: accumulated positive gradients.
        neg_grad: accumulated negative gradients.
        ratio: as the loss uses it: the initial ratio where a class has received no gradient.
    """

    pos_grad: np.ndarray
    neg_grad: np.ndarray
    ratio: np.ndarray


class GradientRecordData(NamedTuple):
    """A record that has been read.

    Attributes:
        iterations: int64 (T,), rising: how many iterations were done at each row.
        losses: by the path of the loss in the model.
        categories: ``{"name", "group", "image_count", "instance_count"}`` of each class, in the
            order of the class index; what is not known is None.
        versions: of python, torch, numpy, detectron2 and eql_d2 that wrote it.
        is_complete: whether these are all the rows that stand in the file.
    """

    iterations: np.ndarray
    losses: dict[str, LossRecord]
    categories: list[dict]
    versions: dict[str, str]
    is_complete: bool


class GradientRecord:
    """Writes the record of a training, row by row, so that it outlives any crash.

    Each row is brought to the disk before :meth:`append` returns. Opening the record of a training
    that is resumed cuts off a torn end, and all rows after the checkpoint, which will come again.
    A fresh training starts a new record.

    Args:
        output_dir: folder of the two files.
        losses: number of classes of each loss by its path.
        categories: see :class:`GradientRecordData`.
        start_iter: iterations that are done already, 0 for a fresh training.
    """

    def __init__(
        self,
        output_dir: str | os.PathLike,
        losses: Mapping[str, int],
        categories: Sequence[Mapping],
        start_iter: int,
    ):
        self._folder = Path(output_dir)
        self._dtype = _row_dtype(losses)
        self._folder.mkdir(parents=True, exist_ok=True)
        if start_iter > 0 and any((self._folder / name).exists() for name in (_HEADER, _ROWS)):
            kept = self._rows_until(start_iter, losses)
        else:
            kept = np.zeros(0, self._dtype)
        self._size = kept.nbytes
        self.last_iteration = int(kept["iteration"][-1]) if len(kept) else 0
        if not len(kept):
            # First, so that old rows are never read with the new header.
            (self._folder / _ROWS).unlink(missing_ok=True)
        header = {
            "version": _VERSION,
            "losses": dict(losses),
            "categories": [dict(category) for category in categories],
            "versions": versions(),
        }
        with open_atomic(self._folder / _HEADER) as file:
            json.dump(header, file)
        with open(self._folder / _ROWS, "ab") as file:
            file.truncate(self._size)

    def append(self, iteration: int, values: Mapping[str, np.ndarray]) -> None:
        """Add a row.

        Args:
            iteration: how many iterations are done.
            values: (3, C) of each loss by its path: ``pos_grad``, ``neg_grad`` and ``ratio``.
        """
        row = np.zeros(1, self._dtype)
        row["iteration"] = iteration
        for path, (pos_grad, neg_grad, ratio) in values.items():
            row[path]["pos_grad"], row[path]["neg_grad"] = pos_grad, neg_grad
            row[path]["ratio"] = ratio
        row["checksum"] = zlib.crc32(row.tobytes()[:-_CHECKSUM_BYTES])
        with open(self._folder / _ROWS, "r+b", buffering=0) as file:
            # Not at the end: after a failure, say of a full disk, half a row may stand there.
            file.seek(self._size)
            file.write(row.tobytes())
            os.fsync(file.fileno())
        self._size += row.nbytes
        self.last_iteration = iteration

    def _rows_until(self, iteration: int, losses: Mapping[str, int]) -> np.ndarray:
        """Rows of the record that is there; one that does not fit is moved away, not lost."""
        try:
            found = _read_header(self._folder)["losses"]
            if list(found.items()) != list(losses.items()):
                raise InputError(f"{self._folder / _HEADER} is of {found}, not of {dict(losses)}")
            rows = _read_rows(self._folder, self._dtype)
        except InputError as error:
            for name in (_ROWS, _HEADER):
                if (self._folder / name).exists():
                    os.replace(self._folder / name, self._folder / f"{name}.previous")
            logger.warning(f"{error}. Moved to *.previous; a new gradient record starts")
            return np.zeros(0, self._dtype)
        return rows[: np.searchsorted(rows["iteration"], iteration, side="right")]


def read_record(output_dir: str | os.PathLike) -> GradientRecordData:
    """Read the record of a training, also of one that runs or was killed.

    Rows from the first damaged one on are left out, with a warning.

    Raises:
        InputError: there is no record, its header is damaged or does not fit the rows, or no row
            is complete.
    """
    folder = Path(output_dir)
    header = _read_header(folder)
    dtype = _row_dtype(header["losses"])
    rows = _read_rows(folder, dtype)
    if not len(rows):
        raise InputError(
            f"{folder / _ROWS} has no complete row for the losses {header['losses']}: train for at "
            "least one logging period (MODEL.EQL.LOG_PERIOD)"
        )
    losses = {
        path: LossRecord(*(rows[path][name] for name in LossRecord._fields))
        for path in header["losses"]
    }
    is_complete = (folder / _ROWS).stat().st_size == rows.nbytes
    return GradientRecordData(
        rows["iteration"], losses, header["categories"], header["versions"], is_complete
    )


def _row_dtype(losses: Mapping[str, int]) -> np.dtype:
    fields = [
        (path, [(name, "<f4", (num_classes,)) for name in LossRecord._fields])
        for path, num_classes in losses.items()
    ]
    return np.dtype([("iteration", "<i8"), *fields, ("checksum", "<u4")])


def _read_header(folder: Path) -> dict:
    path = folder / _HEADER
    if not path.exists():
        raise InputError(
            f"{folder} has no {_HEADER}: train with MODEL.EQL.LOG_PERIOD above 0, and a baseline "
            "with MODEL.EQL.MONITOR True"
        )
    try:
        header = json.loads(path.read_text(encoding="utf-8"))
        version, categories = header["version"], header["categories"]
        num_classes = set(header["losses"].values())
        known = all({"name", "group", "image_count"} <= set(row) for row in categories)
        known = known and isinstance(header["versions"], dict) and len(num_classes) > 0
    except (ValueError, KeyError, TypeError, AttributeError):
        known = False
    if not known:
        raise InputError(f"{path} is damaged: restore it, or train again")
    if version != _VERSION:
        raise InputError(f"{path} has version {version}, but {_VERSION} is read: update eql_d2")
    if num_classes != {len(categories)}:
        raise InputError(
            f"{path} has losses of {sorted(num_classes)} classes but {len(categories)} categories: "
            "it is not as it was written, restore it"
        )
    return header


def _read_rows(folder: Path, dtype: np.dtype) -> np.ndarray:
    """The complete rows before the first damaged one."""
    path = folder / _ROWS
    if not path.exists():
        return np.zeros(0, dtype)
    rows = np.fromfile(path, dtype)
    previous = 0
    for index, row in enumerate(rows.view(np.uint8).reshape(len(rows), dtype.itemsize)):
        good = zlib.crc32(row[:-_CHECKSUM_BYTES]) == rows["checksum"][index]
        if not good or rows["iteration"][index] <= previous:
            if index == 0:
                raise InputError(
                    f"{path} does not fit {_HEADER}: its first row is damaged, or it has another "
                    f"number of classes than {dtype[1].fields['ratio'][0].shape[0]}"
                )
            logger.warning(
                f"{path}: the row after iteration {previous} is damaged, {len(rows) - index} rows "
                "from there on are left out"
            )
            return rows[:index]
        previous = int(rows["iteration"][index])
    return rows

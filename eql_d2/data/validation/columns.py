"""The annotations of a file by column, so that rules look at all of them together."""

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...messages import shown
from .findings import Findings
from .flat import are_integers, is_integer
from .listed_images import has_size


@dataclasses.dataclass(frozen=True)
class Annotations:
    """The annotations of a file, with the sizes of their images.

    Attributes:
        entries: of the file, N.
        width, height: float64 (N,), nan where the image or its size is not known.
        findings: what is wrong is added to it.
    """

    entries: list[dict]
    width: np.ndarray
    height: np.ndarray
    findings: Findings

    @classmethod
    def of_file(cls, findings: Findings, data: dict) -> "Annotations":
        """Of the content of a file, whatever its ids and sizes are."""
        known = [image for image in data["images"] if is_integer(image.get("id"))]
        index_of = {image["id"]: i for i, image in enumerate(known)}
        unknown = (np.nan, np.nan)
        sizes = [(i["width"], i["height"]) if has_size(i) else unknown for i in known]
        sizes = np.array([*sizes, unknown], dtype=np.float64)
        entries = data.get("annotations", [])  # which a test set does not have
        image_ids = [entry.get("image_id") for entry in entries]
        if not are_integers(image_ids):
            image_ids = [value if is_integer(value) else None for value in image_ids]
        indices = map(index_of.get, image_ids, itertools.repeat(-1))  # the last is unknown
        width, height = sizes[np.fromiter(indices, np.int64, len(image_ids))].T
        return cls(entries, width, height, findings)

    def column(self, key: str) -> list[Any]:
        return [entry.get(key) for entry in self.entries]

    def error(self, kind: str, fix: str, offenders: Sequence, describe: Callable) -> None:
        """Add an error for annotations.

        Args:
            kind, fix: see :meth:`Findings.error`.
            offenders: indices of annotations, or a bool for each.
            describe: called with an index, gives the message without its beginning.
        """
        self._add(self.findings.error, kind, fix, offenders, describe)

    def warning(self, kind: str, fix: str, offenders: Sequence, describe: Callable) -> None:
        """Add a warning, as :meth:`error` does."""
        self._add(self.findings.warning, kind, fix, offenders, describe)

    def _add(self, add, kind, fix, offenders, describe) -> None:
        offenders = np.asarray(offenders)
        indices = np.flatnonzero(offenders) if offenders.dtype == bool else np.unique(offenders)
        add(
            kind,
            fix,
            indices,
            lambda i: f"annotation {shown(self.entries[i].get('id'))} {describe(i)}",
        )

    def says(self, key: str, i: int) -> str:
        """What an annotation has, for a message."""
        return f"has {key} {shown(self.entries[i].get(key))}"

    def image_size(self, i: int) -> str:
        return f"{self.width[i]:.0f} x {self.height[i]:.0f} pixels"

"""The rules for image files: all of them, or an even sample."""

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

from ...exceptions import InputError
from ..image_files import check_header, other_size, read_header, read_image
from .findings import Findings
from .limits import Limits

T = TypeVar("T")

# Images of each data set that are read before a training: about a second
NUM_SAMPLES = 32


def sample(items: Sequence[T], count: int | None) -> list[T]:
    """Evenly spaced items with the first and the last; None or enough takes all."""
    if count is None or count >= len(items):
        return list(items)
    return [items[i] for i in np.linspace(0, len(items) - 1, count).round().astype(int)]


def check_sample(where: str, paths: Sequence[str], limits: Limits) -> None:
    """Read an even sample of images.

    Args:
        where: beginning of the message.
        paths: of all images.
        limits: of the images.

    Raises:
        InputError: one of them cannot be used.
    """
    findings = Findings(where)
    records = [{"file_name": path} for path in sample(paths, NUM_SAMPLES)]
    check_images(findings, records, limits.max_image_pixels)
    findings.raise_error()


def check_images(
    findings: Findings, records: Sequence[dict], max_pixels: int
) -> dict[str, tuple[int, int]]:
    """Read images whole.

    Args:
        findings: what is wrong is added to it.
        records: in Detectron2's standard format, with "width" and "height" or without.
        max_pixels: of an image.

    Returns:
        Height and width by the paths of those that can be read.
    """
    problems: dict[str, list[Any]] = {
        "image files that cannot be read": [],
        "image files that are too large, or not of 8 bits": [],
        "image files of another size than annotated": [],
        "damaged image files": [],
    }
    unreadable, unusable, of_other_size, damaged = problems.values()
    has_16_bits, shapes = [], {}
    for record in records:
        path, list_ = record["file_name"], unreadable
        try:
            header = read_header(path)
            list_ = unusable
            check_header(path, header, max_pixels)
            list_ = damaged
            shapes[path] = height, width = read_image(path, "RGB", max_pixels=max_pixels).shape[:2]
        except InputError as error:
            list_.append(error)
            continue
        if (record.get("width", width), record.get("height", height)) != (width, height):
            annotated = record["width"], record["height"]
            of_other_size.append(other_size(path, (width, height), annotated))
        if header.has_16_bits:
            has_16_bits.append(path)
    for kind, found in problems.items():
        findings.error(kind, "", found)
    findings.warning(
        "images of 16 bits a channel",
        "the upper 8 bits are read, as by Detectron2: convert them yourself if that is too dark",
        has_16_bits,
        repr,
    )
    return shapes

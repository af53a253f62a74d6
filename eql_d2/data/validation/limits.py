"""What a data set may ask for: memory, and files outside of its folder."""

import os
from collections.abc import Sequence
from typing import NamedTuple

from ...messages import shown
from ..image_files import MAX_IMAGE_PIXELS
from .findings import Findings
from .missing_files import find_by_name


class Limits(NamedTuple):
    """Limits of a data set.

    Attributes:
        max_image_pixels: width times height of an image; the default is Pillow's, infinity is none.
        allow_outside_paths: whether names of files may lead out of the image folder, by ".." or as
            absolute paths. Links in the folder are followed either way.
    """

    max_image_pixels: float = MAX_IMAGE_PIXELS
    allow_outside_paths: bool = False


def leads_outside(folder: str, name: str) -> bool:
    """Whether a name from a file leads out of a folder."""
    if not (name.startswith(os.sep) or ".." in name):  # nearly all
        return False
    folder = os.path.abspath(folder)
    path = os.path.abspath(os.path.join(folder, name))
    return os.path.commonpath([folder, path]) != folder


def check_paths(
    findings: Findings, folder: str, names: Sequence[str], what: str, limits: Limits
) -> None:
    """Find names of files that lead out of a folder.

    Args:
        findings: what is wrong is added to it.
        folder: that the names start from.
        names: as the data set has them.
        what: has the name, for the message: "an image".
        limits: which may allow it.
    """

    def describe(name: str) -> str:
        found = find_by_name(folder, name)
        inside = f", where {found!r} has that name: give the name below the folder" if found else ""
        return f"{what} has the path {shown(name)}, which leads out of {folder!r}{inside}"

    findings.error(
        "paths that lead out of the folder",
        "move the file, or allow it with --allow-outside-paths if you trust the data",
        [] if limits.allow_outside_paths else [n for n in names if leads_outside(folder, n)],
        describe,
    )

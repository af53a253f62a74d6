"""What a data set holds."""

import os
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ...messages import shown


class Contents(NamedTuple):
    """What a data set holds, as far as it is compared with another one.

    Attributes:
        classes: by the name of each class, in the order of the list, how often it occurs; None
            where that is not known.
        unit: what has been counted, for example "annotations".
        images: path of each image, by its name below the image folder.
    """

    classes: Mapping[str, int | None]
    unit: str
    images: Mapping[str, str]

    def describe(self, class_name: str) -> str:
        """A class with its count, for a message."""
        count = self.classes[class_name]
        unit = self.unit.removesuffix("s") if count == 1 else self.unit
        return f"class {shown(class_name)}" + ("" if count is None else f" ({count:,} {unit})")


def images_by_name(paths: Iterable[str], folder: str) -> dict[str, str]:
    """Paths of images by their names below their folder, for :class:`Contents`."""
    return {os.path.relpath(path, folder): path for path in paths}

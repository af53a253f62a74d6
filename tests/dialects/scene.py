"""A small scene, the same for all dialects, and the parts that their files have in common."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 48, 40
CLASSES = ("cat", "dog", "fish", "owl")
# In how many images each class is, and its group by thresholds of 1 and 3 images
IMAGE_COUNTS = {"cat": 6, "dog": 3, "fish": 2, "owl": 1}
THRESHOLDS = (1, 3)
GROUPS = {"cat": "f", "dog": "c", "fish": "c", "owl": "r"}


class Thing(NamedTuple):
    """An object of the scene: the number of its image, of its class, and x, y, width, height."""

    image: int
    index: int
    box: tuple[float, float, float, float]

    @property
    def name(self) -> str:
        return CLASSES[self.index]

    @property
    def area(self) -> float:
        return self.box[2] * self.box[3]

    @property
    def corners(self) -> list[float]:
        x, y, width, height = self.box
        return [x, y, x + width, y, x + width, y + height, x, y + height]

    @property
    def run_lengths(self) -> dict:
        """The mask of a box of whole pixels, column by column, not compressed."""
        x, y, width, height = map(int, self.box)
        gap = HEIGHT - height
        inner = [count for _ in range(width - 1) for count in (height, gap)]
        counts = [x * HEIGHT + y, *inner, height, (WIDTH - x - width) * HEIGHT + gap - y]
        return {"counts": counts, "size": [HEIGHT, WIDTH]}


class Dialect(NamedTuple):
    """What a tool writes.

    Attributes:
        write: gets the objects; returns the content of the file.
        shift: of the boxes to the right: tools that write whole pixels have 0.
        unseen: classes without an object that the tool lists too.
        said: what a warning of each kind has in its heading.
        refused: the same of the errors, where ``validate --write`` mends the file.
    """

    write: Callable[[list[Thing]], dict]
    shift: float = 0.25
    unseen: tuple[str, ...] = ()
    said: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()


def things(shift: float) -> list[Thing]:
    """All objects: a class is in the first images, and the first one has two cats."""
    found = [Thing(0, 0, (30 + shift, 24, 10, 12))]
    for index, count in enumerate(IMAGE_COUNTS.values()):
        for image in range(count):
            found.append(Thing(image, index, (2 + 11 * index + shift, 3 + image, 9, 8 + index)))
    return found


def images(name: str, first: int, **fields) -> list[dict]:
    """Entries of the images; `name` has a place for the number."""
    size = {"width": WIDTH, "height": HEIGHT}
    return [
        {"id": first + i, "file_name": name.format(i), **size, **fields}
        for i in range(max(IMAGE_COUNTS.values()))
    ]


def categories(names: Sequence[str], first: int, **fields) -> list[dict]:
    """Entries of the classes, in their order."""
    return [{"id": first + k, "name": name, **fields} for k, name in enumerate(names)]


def annotations(
    found: list[Thing], first: int, fields: Callable[[Thing], dict], image=0, category=0
) -> list[dict]:
    """Entries of the objects; `first`, `image` and `category` are the ids of the first ones."""
    return [
        {
            "id": first + number,
            "image_id": image + thing.image,
            "category_id": category + thing.index,
            "bbox": list(map(float, thing.box)),
            **fields(thing),
        }
        for number, thing in enumerate(found)
    ]


def save_images(content: dict, folder: Path) -> None:
    """The files that a written file names, whose order is that of the numbers."""
    for number, image in enumerate(content["images"]):
        path = folder / image["file_name"].replace("\\", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
        Image.fromarray(pixels).save(path)

"""The pictures of the miniatures: bright rectangles on noise."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

# Width and height in pixels: Detectron2 batches wide and high pictures apart.
SIZES = ((96, 72), (88, 64), (72, 96), (64, 88))


class Rectangle(NamedTuple):
    """In pixels."""

    x: int
    y: int
    width: int
    height: int

    @property
    def area(self) -> int:
        return self.width * self.height

    @property
    def polygon(self) -> list[int]:
        right, bottom = self.x + self.width, self.y + self.height
        return [self.x, self.y, right, self.y, right, bottom, self.x, bottom]


class Scene(NamedTuple):
    """A picture, uint8 (height, width, 3), and the objects in it."""

    pixels: np.ndarray
    objects: list[Rectangle]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.pixels.shape[1], self.pixels.shape[0]


def scenes(seed: int, number: int, num_objects: int = 4) -> Iterator[Scene]:
    """So many scenes of changing sizes; the same for the same seed."""
    rng = np.random.default_rng(seed)
    for i in range(number):
        width, height = SIZES[i % len(SIZES)]
        pixels = rng.integers(0, 120, (height, width, 3), dtype=np.uint8)
        objects = []
        for k in range(num_objects):
            w, h = (int(rng.integers(side // 4, side // 2)) for side in (width, height))
            x, y = int(rng.integers(0, width - w)), int(rng.integers(0, height - h))
            pixels[y : y + h, x : x + w, k % 3] = 255 - 40 * (k // 3)
            objects.append(Rectangle(x, y, w, h))
        yield Scene(pixels, objects)


def save(pixels: np.ndarray, path: Path) -> None:
    """Write a picture, and the folders that it needs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)

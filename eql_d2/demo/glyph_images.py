"""Pixels and outlines of the glyphs data set.

A letter is a list of rings: float64 (N, 2) polygons in pixels, x to the right and y down. The
pixel with index i covers [i, i + 1]. Outer rings have positive area, holes negative.
"""

import os
from functools import cache

import cv2
import matplotlib
import numpy as np
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

FONTS = tuple(
    f"DejaVu{family}.ttf"
    for family in (
        "Sans",
        "Sans-Bold",
        "Sans-Oblique",
        "Sans-BoldOblique",
        "SansMono",
        "SansMono-Bold",
        "Serif",
        "Serif-Bold",
        "Serif-Italic",
        "Serif-BoldItalic",
    )
)
FONT_SIZES = (0.2, 0.36)  # of the image's side
MAX_ROTATION = 20.0  # degrees; more would turn u into n
OUTLINE_SIZE = 100.0  # font size at which outlines are flattened to polygons
SUBPIXEL_BITS = 4  # of cv2.fillPoly's fixed-point coordinates


@cache
def outline(letter: str, font: str) -> tuple[np.ndarray, ...]:
    """Rings (N, 2) of a letter in image orientation; outer rings have positive area."""
    path = os.path.join(matplotlib.get_data_path(), "fonts", "ttf", font)
    text = TextPath((0, 0), letter, size=OUTLINE_SIZE, prop=FontProperties(fname=path))
    rings = [ring[:-1] * (1, -1) for ring in text.to_polygons() if len(ring) > 3]
    return tuple(sorted(rings, key=lambda ring: -abs(signed_area(ring))))


def signed_area(ring: np.ndarray) -> float:
    x, y = ring.T
    return float(np.dot(np.roll(x, 1), y) - np.dot(x, np.roll(y, 1))) / 2


def random_shape(
    letter: str,
    size: int,
    rng: np.random.Generator,
    font_sizes: tuple[float, float] = FONT_SIZES,
) -> list[np.ndarray]:
    """Rings of a letter in random font, size, proportion and rotation, in pixels.

    Args:
        letter: a letter that the fonts have.
        size: side of the image in pixels.
        rng: source of all choices.
        font_sizes: smallest and largest font size, in sides of the image.
    """
    angle = np.deg2rad(rng.uniform(-MAX_ROTATION, MAX_ROTATION))
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    scale = rng.uniform(*font_sizes) * size / OUTLINE_SIZE
    stretch = np.diag([rng.uniform(0.85, 1.15), 1.0])
    rings = outline(letter, FONTS[rng.integers(len(FONTS))])
    return [ring @ (scale * stretch @ rotation.T) for ring in rings]


def place(
    rings: list[np.ndarray], boxes: np.ndarray, size: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """Move a letter to the one of 30 random places inside the image that covers others least."""
    points = np.concatenate(rings)
    low, high = points.min(0), points.max(0)
    corners = rng.uniform(1, size - 1 - (high - low), (30, 2))
    sides = np.minimum(corners[:, None] + high - low, boxes[None, :, 2:]) - np.maximum(
        corners[:, None], boxes[None, :, :2]
    )
    covered = sides.clip(min=0).prod(2).sum(1)
    return [ring + corners[covered.argmin()] - low for ring in rings]


def background(size: int, rng: np.random.Generator) -> np.ndarray:
    """Cloudy colours, strokes and grain: uint8 (size, size, 3), BGR."""
    clouds = rng.uniform(40, 215, 3) + rng.normal(0, 25, (5, 5, 3))
    image = cv2.resize(clouds, (size, size), interpolation=cv2.INTER_CUBIC)
    for _ in range(rng.integers(4, 12)):
        ends = rng.integers(0, size, (2, 2))
        colour = image[tuple(ends[0])] + rng.normal(0, 30, 3)
        cv2.line(
            image, ends[0].tolist(), ends[1].tolist(), colour.tolist(), int(rng.integers(1, 4))
        )
    image += rng.normal(0, rng.uniform(3, 10), (size, size, 1))
    return image.clip(0, 255).astype(np.uint8)


def draw(image: np.ndarray, rings: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """Fill a letter in a colour that stands out from what is below it.

    Returns:
        How much the letter covers each pixel, uint8 (height, width), 255 for all of it.
    """
    mask = np.zeros(image.shape[:2], np.uint8)
    for ring in rings:  # largest first, so that holes are cut from what they lie in
        # The pixel with index i covers [i, i + 1]
        points = np.rint((ring - 0.5) * 2**SUBPIXEL_BITS).astype(np.int32)
        ink = 255 if signed_area(ring) > 0 else 0
        cv2.fillPoly(mask, [points], ink, cv2.LINE_AA, SUBPIXEL_BITS)
    below = image[mask > 0].mean(0)
    colour = rng.uniform(0, 255, 3)
    while abs(colour.mean() - below.mean()) < 60:
        colour = rng.uniform(0, 255, 3)
    opacity = mask[..., None] / 255
    image[:] = np.rint(image * (1 - opacity) + colour * opacity)
    return mask

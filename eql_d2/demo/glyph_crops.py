"""The demo's data set for image classification: one of the glyphs' 150 letters in each image.

Folders of classes, as :func:`register_class_folder` reads them. Training images fall exponentially
from class to class; validation has the same number of images of every class. Usage::

    python -m eql_d2.demo.glyph_crops OUTPUT_DIR
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from .generated import check_at_least, run_command, write_once
from .glyph_images import background, draw, place, random_shape
from .glyphs import LETTERS, letter_name, long_tailed_counts

FONT_SIZES = (0.6, 0.9)  # of the image's side
TEXTURE = 0.4  # share of the glyphs' background that stays; the rest is grey
LARGEST_LETTER = 0.9  # of the image's side; wider letters are made smaller
FORMAT_VERSION = 1  # raise it when the same parameters give another data set


def generate_glyph_crops(
    output_dir: str | os.PathLike,
    *,
    num_train: int = 8000,
    num_val: int = 20,
    image_size: int = 32,
    imbalance: float = 600.0,
    seed: int = 0,
) -> bool:
    """Write ``{train,val}/<class>/*.png`` and ``parameters.json`` into ``output_dir``.

    The same arguments give the same files. A complete data set of the same arguments is left as
    it is; one of other arguments is replaced. Everything is written aside and moved at the end.

    Args:
        output_dir: Directory to write; it may exist only when it is empty or holds this data set.
        num_train: Number of training images, before rounding.
        num_val: Number of validation images of each class.
        image_size: Side of the square images in pixels.
        imbalance: Training images of the most frequent class over those of the rarest, before
            rounding; every class keeps at least one.
        seed: Seed of the class order and of all pixels.

    Returns:
        True if the data set was written, False if it was there already.

    Raises:
        InputError: An argument is out of range, or ``output_dir`` holds something else.
    """
    parameters = {
        "version": FORMAT_VERSION,
        "num_train": num_train,
        "num_val": num_val,
        "image_size": image_size,
        "imbalance": float(imbalance),
        "seed": seed,
    }
    smallest = {"num_train": len(LETTERS), "num_val": 1, "image_size": 32, "imbalance": 1}
    check_at_least("glyph crops", len(LETTERS), parameters, {**smallest, "seed": 0})
    return write_once(
        Path(output_dir),
        "glyph_crops",
        {"train", "val"},
        parameters,
        lambda folder: _write_data_set(folder, parameters),
    )


def folder_name(index: int) -> str:
    """Name of a class: "000_a". The number keeps "a" and "A" apart where the case is ignored."""
    return f"{index:03d}_{letter_name(LETTERS[index])}"


def _write_data_set(output_dir: Path, parameters: Mapping[str, Any]) -> None:
    rng = np.random.default_rng(parameters["seed"])
    tail = long_tailed_counts(len(LETTERS), parameters["num_train"], parameters["imbalance"])
    counts = {"train": rng.permutation(tail), "val": np.full(len(LETTERS), parameters["num_val"])}
    size = parameters["image_size"]
    total = sum(int(count.sum()) for count in counts.values())
    with tqdm(total=total, desc="glyph crops", unit="image") as progress:
        for split_index, (split, count_of_class) in enumerate(counts.items()):
            for index, count in enumerate(count_of_class):
                folder = output_dir / split / folder_name(index)
                folder.mkdir(parents=True)
                for i in range(count):
                    rng = np.random.default_rng([parameters["seed"], split_index, index, i])
                    crop = _draw_crop(LETTERS[index], size, rng)
                    cv2.imwrite(str(folder / f"{i:04d}.png"), crop)
                progress.update(int(count))


def _draw_crop(letter: str, size: int, rng: np.random.Generator) -> np.ndarray:
    """A letter somewhere in the image, uint8 (size, size, 3), BGR."""
    image = background(size, rng)
    image = (TEXTURE * image + (1 - TEXTURE) * image.mean()).astype(np.uint8)
    shape = random_shape(letter, size, rng, FONT_SIZES)
    shrink = min(LARGEST_LETTER * size / np.ptp(np.concatenate(shape), axis=0).max(), 1.0)
    shape = place([ring * shrink for ring in shape], np.zeros((0, 4)), size, rng)
    draw(image, shape, rng)
    return image


if __name__ == "__main__":
    run_command("glyph crops", generate_glyph_crops)

"""The demo's data set for segmentation: images of some letters and the label map of each.

40 of the glyphs' letters, and the background as a class of its own (index 0): what is no letter
must be recognised too, so that mIoU also counts where letters end. Training instances of the
letters fall exponentially from class to class; validation has the same number of every letter.
The files are as :func:`register_mask_folder` reads them. Usage::

    python -m eql_d2.demo.glyph_maps OUTPUT_DIR
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from .generated import check_at_least, run_command, write_once
from .glyph_images import background, draw, place, random_shape
from .glyphs import deal_letters, letter_name, long_tailed_counts

# Few enough to be learnt in minutes, some of them alike.
LETTERS = "aáâäbcçdeéêëfghikmnñoóôöpqrsštuúûüwyýzžД"
INSTANCES_PER_IMAGE = 4
FONT_SIZES = (0.34, 0.48)  # of the image's side
FORMAT_VERSION = 1  # raise it when the same parameters give another data set


def generate_glyph_maps(
    output_dir: str | os.PathLike,
    *,
    num_train: int = 1000,
    num_val: int = 160,
    image_size: int = 96,
    imbalance: float = 600.0,
    seed: int = 0,
) -> bool:
    """Write ``{images,labels}/{train,val}/*.png`` and ``classes.txt`` into ``output_dir``.

    The same arguments give the same files. A complete data set of the same arguments is left as
    it is; one of other arguments is replaced. Everything is written aside and moved at the end.

    Args:
        output_dir: Directory to write; it may exist only when it is empty or holds this data set.
        num_train, num_val: Number of images; each shows about ``INSTANCES_PER_IMAGE`` letters.
        image_size: Side of the square images in pixels.
        imbalance: Training instances of the most frequent letter over those of the rarest, before
            rounding; every letter keeps at least one.
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
    fewest = -(-len(LETTERS) // INSTANCES_PER_IMAGE)
    smallest = {"num_train": fewest, "num_val": fewest, "image_size": 64, "imbalance": 1, "seed": 0}
    check_at_least("glyph maps", len(LETTERS), parameters, smallest)
    return write_once(
        Path(output_dir),
        "glyph_maps",
        {"images", "labels", "classes.txt"},
        parameters,
        lambda folder: _write_data_set(folder, parameters),
    )


def _write_data_set(output_dir: Path, parameters: Mapping[str, Any]) -> None:
    rng = np.random.default_rng(parameters["seed"])
    num_images = {split: parameters[f"num_{split}"] for split in ("train", "val")}
    tail = long_tailed_counts(
        len(LETTERS), num_images["train"] * INSTANCES_PER_IMAGE, parameters["imbalance"]
    )
    counts = {
        "train": rng.permutation(tail),
        "val": np.full(len(LETTERS), num_images["val"] * INSTANCES_PER_IMAGE // len(LETTERS)),
    }
    images = {split: deal_letters(counts[split], num_images[split], rng) for split in counts}
    with tqdm(total=sum(num_images.values()), desc="glyph maps", unit="image") as progress:
        for split_index, split in enumerate(counts):
            for kind in ("images", "labels"):
                (output_dir / kind / split).mkdir(parents=True)
            for i, letters in enumerate(images[split], start=1):
                rng = np.random.default_rng([parameters["seed"], split_index, i])
                image, labels = _draw_map(letters, parameters["image_size"], rng)
                cv2.imwrite(str(output_dir / "images" / split / f"{i:06d}.png"), image)
                cv2.imwrite(str(output_dir / "labels" / split / f"{i:06d}.png"), labels)
                progress.update()
    names = ["background", *map(letter_name, LETTERS)]
    (output_dir / "classes.txt").write_text("".join(f"{name}\n" for name in names))


def _draw_map(
    letters: Sequence[int], size: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Image uint8 (size, size, 3), BGR, and labels uint8 (size, size): 0, or 1 + the letter that
    covers at least half of the pixel, of several the one that is drawn last."""
    image = background(size, rng)
    labels = np.zeros((size, size), np.uint8)
    boxes = np.zeros((0, 4))
    for index in letters:
        rings = place(random_shape(LETTERS[index], size, rng, FONT_SIZES), boxes, size, rng)
        labels[draw(image, rings, rng) >= 128] = index + 1
        points = np.concatenate(rings)
        boxes = np.vstack([boxes, [*points.min(0), *points.max(0)]])
    return image, labels


if __name__ == "__main__":
    run_command("glyph maps", generate_glyph_maps)

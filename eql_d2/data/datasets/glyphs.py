"""The embedded demo data set: letters over textured backgrounds, with a tail as hard as LVIS's.

150 classes that are easily taken for one another (Latin, Greek and Cyrillic letters with and
without diacritics), drawn from the outlines of the DejaVu fonts that Matplotlib ships, so that
nothing is downloaded and the polygons are exact. Training instances fall exponentially from class
to class; validation has the same number of instances of every class. The files are in LVIS v1
format. Usage::

    python -m eql_d2.data.datasets.glyphs OUTPUT_DIR
"""

import argparse
import json
import os
import tempfile
import unicodedata
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import matplotlib
import numpy as np
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath
from tqdm import tqdm

from eql_d2.exceptions import InputError

# No two letters have the same shape at different sizes (o, O, Greek and Cyrillic o are one class).
LETTERS = (
    "aàáâãäåāăąbcçćčĉdďeèéêëēĕėęěfgĝğģhĥħiìíîïjĵkķlłmnñńňņ"
    "oòóôõöøōŏőpqrŕřsśŝşštţuùúûüũūŭůűvwŵxyýÿŷzźżž"
    "ABDEGHJNQRTY" + "ΓΔΘΛΞΠΣΨΩαβγδεζηθλμξπσφψω" + "БДЖИЙЦЧШЩЪЬЫЭЮЯЗ"
)
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
INSTANCES_PER_IMAGE = 5
FONT_SIZES = (0.22, 0.42)  # of the image's side
MAX_ROTATION = 20.0  # degrees; more would turn u into n
OUTLINE_SIZE = 100.0  # font size at which outlines are flattened to polygons
SUBPIXEL_BITS = 4  # of cv2.fillPoly's fixed-point coordinates
FORMAT_VERSION = 1  # raise it when the same parameters give another data set


def generate_glyphs(
    output_dir: str | os.PathLike,
    *,
    num_train: int = 1500,
    num_val: int = 300,
    image_size: int = 160,
    imbalance: float = 600.0,
    seed: int = 0,
) -> bool:
    """Write ``train.json``, ``val.json`` and ``images/{train,val}/*.jpg`` into ``output_dir``.

    The same arguments give the same files. A complete data set of the same arguments is left as
    it is; one of other arguments is replaced. Everything is written aside and moved at the end.

    Args:
        output_dir: Directory to write; it may exist only when it is empty or holds this data set.
        num_train, num_val: Number of images; each shows about ``INSTANCES_PER_IMAGE`` letters.
        image_size: Side of the square images in pixels.
        imbalance: Training instances of the most frequent class over those of the rarest, before
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
    _check_parameters(parameters)
    output_dir = Path(output_dir)
    if _read_parameters(output_dir) == parameters:
        return False
    _check_replaceable(output_dir)

    output_dir.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".glyphs-", dir=output_dir.parent) as scratch:
        written = Path(scratch) / "new"
        _write_data_set(written, parameters)
        if output_dir.exists():
            os.replace(output_dir, Path(scratch) / "old")
        os.replace(written, output_dir)
    return True


def _check_parameters(parameters: dict[str, Any]) -> None:
    fewest = -(-len(LETTERS) // INSTANCES_PER_IMAGE)
    for name in ("num_train", "num_val"):
        if parameters[name] < fewest:
            raise InputError(
                f"{name}={parameters[name]} images cannot show each of {len(LETTERS)} classes; "
                f"use at least {fewest}"
            )
    if parameters["image_size"] < 64:
        raise InputError(f"image_size={parameters['image_size']} is too small; use at least 64")
    if parameters["imbalance"] < 1:
        raise InputError(f"imbalance={parameters['imbalance']} must be at least 1")
    if parameters["seed"] < 0:
        raise InputError(f"seed={parameters['seed']} must not be negative")


def _read_parameters(output_dir: Path) -> dict[str, Any] | None:
    """Parameters of the data set in ``output_dir``; None if there is none or it is damaged."""
    found = []
    for split in ("train", "val"):
        try:
            content = json.loads((output_dir / f"{split}.json").read_text())
            images = {f"{split}/{path.name}" for path in (output_dir / "images" / split).iterdir()}
            if {image["file_name"] for image in content["images"]} - images:
                return None
            found.append(content["info"]["parameters"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
    return found[0] if found[0] == found[1] else None


def _check_replaceable(output_dir: Path) -> None:
    if not output_dir.exists():
        return
    if not output_dir.is_dir() or {path.name for path in output_dir.iterdir()} - {
        "train.json",
        "val.json",
        "images",
    }:
        raise InputError(
            f"{output_dir} holds something other than the glyphs data set; name an empty directory"
        )


def _write_data_set(output_dir: Path, parameters: dict[str, Any]) -> None:
    rng = np.random.default_rng(parameters["seed"])
    num_images = {split: parameters[f"num_{split}"] for split in ("train", "val")}
    tail = long_tailed_counts(
        len(LETTERS), num_images["train"] * INSTANCES_PER_IMAGE, parameters["imbalance"]
    )
    counts = {
        "train": rng.permutation(tail),
        "val": np.full(len(LETTERS), num_images["val"] * INSTANCES_PER_IMAGE // len(LETTERS)),
    }
    images = {split: _deal_letters(counts[split], num_images[split], rng) for split in counts}
    categories = _categories(images["train"])
    with tqdm(total=sum(num_images.values()), desc="glyphs", unit="image") as progress:
        for split in counts:
            (output_dir / "images" / split).mkdir(parents=True)
            content = {
                "info": {"description": "eql_d2 glyphs", "parameters": parameters},
                "licenses": [],
                "categories": categories,
                "images": [],
                "annotations": [],
            }
            for letters in images[split]:
                _add_image(content, letters, output_dir / "images", split, parameters)
                progress.update()
            (output_dir / f"{split}.json").write_text(json.dumps(content))


def long_tailed_counts(num_classes: int, total: int, imbalance: float) -> np.ndarray:
    """Exponentially falling numbers of instances, int64 (num_classes,), each at least one."""
    weights = imbalance ** -np.linspace(0, 1, num_classes)
    return np.maximum(np.rint(total * weights / weights.sum()), 1).astype(np.int64)


def _deal_letters(
    counts: np.ndarray, num_images: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """Class indices of each image: ``counts[i]`` times class i, shuffled over all images."""
    letters = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    cuts = np.linspace(0, len(letters), num_images + 1)[1:-1].astype(np.int64)
    return np.split(letters, cuts + rng.integers(-1, 2, len(cuts)))


def _categories(train_images: Sequence[np.ndarray]) -> list[dict[str, Any]]:
    instance_counts = np.bincount(np.concatenate(train_images), minlength=len(LETTERS))
    image_counts = np.bincount(
        np.concatenate([np.unique(letters) for letters in train_images]), minlength=len(LETTERS)
    )
    return [
        {
            "id": index + 1,
            # ASCII, because names are printed in tables on all kinds of consoles
            "name": unicodedata.name(letter).lower().replace("letter ", "").replace(" ", "_"),
            "synonyms": [letter],
            "image_count": int(image_counts[index]),
            "instance_count": int(instance_counts[index]),
            "frequency": _frequency_group(image_counts[index]),
        }
        for index, letter in enumerate(LETTERS)
    ]


def _frequency_group(image_count: int) -> str:
    if image_count <= 10:
        return "r"
    return "c" if image_count <= 100 else "f"


def _add_image(
    content: dict[str, Any],
    letters: np.ndarray,
    image_root: Path,
    split: str,
    parameters: dict[str, Any],
) -> None:
    """Draw one image with the given classes, save it, and append its records to ``content``."""
    image_id, size = len(content["images"]) + 1, parameters["image_size"]
    rng = np.random.default_rng([parameters["seed"], ("train", "val").index(split), image_id])
    image = _background(size, rng)
    boxes = np.zeros((0, 4))
    for index in letters:
        rings = _place(_random_shape(LETTERS[index], size, rng), boxes, size, rng)
        _draw(image, rings, rng)
        outer = [ring for ring in rings if _signed_area(ring) > 0]
        low, high = np.min([r.min(0) for r in outer], 0), np.max([r.max(0) for r in outer], 0)
        boxes = np.vstack([boxes, [*low, *high]])
        content["annotations"].append(
            {
                "id": len(content["annotations"]) + 1,
                "image_id": image_id,
                "category_id": int(index) + 1,
                "bbox": np.round([*low, *(high - low)], 2).tolist(),
                "area": round(float(sum(_signed_area(ring) for ring in outer)), 2),
                "segmentation": [np.round(ring, 2).ravel().tolist() for ring in outer],
            }
        )
    file_name = f"{split}/{image_id:06d}.jpg"
    cv2.imwrite(str(image_root / file_name), image, [cv2.IMWRITE_JPEG_QUALITY, 90])
    content["images"].append(
        {
            "id": image_id,
            "file_name": file_name,
            # Detectron2 takes the last two parts as folder and file
            "coco_url": f"http://localhost/{file_name}",
            "width": size,
            "height": size,
            "neg_category_ids": sorted(set(range(1, len(LETTERS) + 1)) - set(letters + 1)),
            "not_exhaustive_category_ids": [],
        }
    )


@cache
def _outline(letter: str, font: str) -> tuple[np.ndarray, ...]:
    """Rings (N, 2) of a letter in image orientation; outer rings have positive area."""
    path = os.path.join(matplotlib.get_data_path(), "fonts", "ttf", font)
    text = TextPath((0, 0), letter, size=OUTLINE_SIZE, prop=FontProperties(fname=path))
    rings = [ring[:-1] * (1, -1) for ring in text.to_polygons() if len(ring) > 3]
    return tuple(sorted(rings, key=lambda ring: -abs(_signed_area(ring))))


def _signed_area(ring: np.ndarray) -> float:
    x, y = ring.T
    return float(np.dot(np.roll(x, 1), y) - np.dot(x, np.roll(y, 1))) / 2


def _random_shape(letter: str, size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Rings of a letter in random font, size, proportion and rotation, in pixels."""
    angle = np.deg2rad(rng.uniform(-MAX_ROTATION, MAX_ROTATION))
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    scale = rng.uniform(*FONT_SIZES) * size / OUTLINE_SIZE
    stretch = np.diag([rng.uniform(0.85, 1.15), 1.0])
    rings = _outline(letter, FONTS[rng.integers(len(FONTS))])
    return [ring @ (scale * stretch @ rotation.T) for ring in rings]


def _place(
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


def _background(size: int, rng: np.random.Generator) -> np.ndarray:
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


def _draw(image: np.ndarray, rings: list[np.ndarray], rng: np.random.Generator) -> None:
    """Fill a letter in a colour that stands out from what is below it."""
    mask = np.zeros(image.shape[:2], np.uint8)
    for ring in rings:  # largest first, so that holes are cut from what they lie in
        # The pixel with index i covers [i, i + 1]
        points = np.rint((ring - 0.5) * 2**SUBPIXEL_BITS).astype(np.int32)
        ink = 255 if _signed_area(ring) > 0 else 0
        cv2.fillPoly(mask, [points], ink, cv2.LINE_AA, SUBPIXEL_BITS)
    below = image[mask > 0].mean(0)
    colour = rng.uniform(0, 255, 3)
    while abs(colour.mean() - below.mean()) < 60:
        colour = rng.uniform(0, 255, 3)
    opacity = mask[..., None] / 255
    image[:] = np.rint(image * (1 - opacity) + colour * opacity)


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the generated demo data set.")
    parser.add_argument("output_dir", type=Path)
    output_dir = parser.parse_args().output_dir
    written = generate_glyphs(output_dir)
    print(f"glyphs: {'written to' if written else 'complete in'} {output_dir}")


if __name__ == "__main__":
    main()

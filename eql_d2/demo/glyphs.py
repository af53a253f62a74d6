"""The embedded demo data set: letters over textured backgrounds, with a tail as hard as LVIS's.

150 classes that are easily taken for one another (Latin, Greek and Cyrillic letters with and
without diacritics), drawn from the outlines of the DejaVu fonts that Matplotlib ships, so that
nothing is downloaded and the polygons are exact. Training instances fall exponentially from class
to class; validation has the same number of instances of every class. The files are in LVIS v1
format. Usage::

    python -m eql_d2.demo.glyphs OUTPUT_DIR
"""

import json
import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from ..data import frequency_groups
from .generated import check_at_least, run_command, write_aside
from .glyph_images import background, draw, place, random_shape, signed_area

# No two letters have the same shape at different sizes (o, O, Greek and Cyrillic o are one class).
LETTERS = (
    "aàáâãäåāăąbcçćčĉdďeèéêëēĕėęěfgĝğģhĥħiìíîïjĵkķlłmnñńňņ"
    "oòóôõöøōŏőpqrŕřsśŝşštţuùúûüũūŭůűvwŵxyýÿŷzźżž"
    "ABDEGHJNQRTY" + "ΓΔΘΛΞΠΣΨΩαβγδεζηθλμξπσφψω" + "БДЖИЙЦЧШЩЪЬЫЭЮЯЗ"
)
INSTANCES_PER_IMAGE = 9
FORMAT_VERSION = 1  # raise it when the same parameters give another data set


def generate_glyphs(
    output_dir: str | os.PathLike,
    *,
    num_train: int = 800,
    num_val: int = 170,
    image_size: int = 160,
    imbalance: float = 600.0,
    seed: int = 0,
    letters: str = LETTERS,
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
        letters: The classes; the fonts must have them.

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
        "letters": letters,
    }
    _check_parameters(parameters)
    output_dir = Path(output_dir)
    if _read_parameters(output_dir) == parameters:
        return False
    entries = {"train.json", "val.json", "images"}
    write_aside(output_dir, "glyphs", entries, lambda folder: _write_data_set(folder, parameters))
    return True


def _check_parameters(parameters: dict[str, Any]) -> None:
    num_classes = len(parameters["letters"])
    fewest = -(-num_classes // INSTANCES_PER_IMAGE)
    smallest = {"num_train": fewest, "num_val": fewest, "image_size": 64, "imbalance": 1, "seed": 0}
    check_at_least("glyphs", num_classes, parameters, smallest)


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


def _write_data_set(output_dir: Path, parameters: dict[str, Any]) -> None:
    rng = np.random.default_rng(parameters["seed"])
    num_classes = len(parameters["letters"])
    num_images = {split: parameters[f"num_{split}"] for split in ("train", "val")}
    tail = long_tailed_counts(
        num_classes, num_images["train"] * INSTANCES_PER_IMAGE, parameters["imbalance"]
    )
    counts = {
        "train": rng.permutation(tail),
        "val": np.full(num_classes, num_images["val"] * INSTANCES_PER_IMAGE // num_classes),
    }
    images = {split: deal_letters(counts[split], num_images[split], rng) for split in counts}
    categories = _categories(parameters["letters"], images["train"])
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
            for classes in images[split]:
                _add_image(content, classes, output_dir / "images", split, parameters)
                progress.update()
            (output_dir / f"{split}.json").write_text(json.dumps(content))


def long_tailed_counts(num_classes: int, total: int, imbalance: float) -> np.ndarray:
    """Exponentially falling numbers of instances, int64 (num_classes,), each at least one."""
    weights = imbalance ** -np.linspace(0, 1, num_classes)
    return np.maximum(np.rint(total * weights / weights.sum()), 1).astype(np.int64)


def letter_name(letter: str) -> str:
    """ASCII name for tables on all kinds of consoles, such as "a_acute" or "THETA_greek"."""
    script, case, _, *name = unicodedata.name(letter).replace("WITH ", "").split()
    words = "_".join(name).lower() if case == "SMALL" else "_".join(name)
    return words if script == "LATIN" else f"{words}_{script.lower()}"


def deal_letters(counts: np.ndarray, num_images: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Class indices of each image: ``counts[i]`` times class i, shuffled over all images."""
    letters = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    cuts = np.linspace(0, len(letters), num_images + 1)[1:-1].astype(np.int64)
    return np.split(letters, cuts + rng.integers(-1, 2, len(cuts)))


def _categories(letters: str, train_images: Sequence[np.ndarray]) -> list[dict[str, Any]]:
    instance_counts = np.bincount(np.concatenate(train_images), minlength=len(letters))
    image_counts = np.bincount(
        np.concatenate([np.unique(classes) for classes in train_images]), minlength=len(letters)
    )
    groups = frequency_groups(image_counts)
    return [
        {
            "id": index + 1,
            "name": letter_name(letter),
            "synonyms": [letter],
            "image_count": int(image_counts[index]),
            "instance_count": int(instance_counts[index]),
            "frequency": groups[index],
        }
        for index, letter in enumerate(letters)
    ]


def _add_image(
    content: dict[str, Any],
    classes: np.ndarray,
    image_root: Path,
    split: str,
    parameters: dict[str, Any],
) -> None:
    """Draw one image with the given classes, save it, and append its records to ``content``."""
    image_id, size = len(content["images"]) + 1, parameters["image_size"]
    letters = parameters["letters"]
    rng = np.random.default_rng([parameters["seed"], ("train", "val").index(split), image_id])
    image = background(size, rng)
    boxes = np.zeros((0, 4))
    for index in classes:
        rings = place(random_shape(letters[index], size, rng), boxes, size, rng)
        draw(image, rings, rng)
        outer = [ring for ring in rings if signed_area(ring) > 0]
        low, high = np.min([r.min(0) for r in outer], 0), np.max([r.max(0) for r in outer], 0)
        boxes = np.vstack([boxes, [*low, *high]])
        content["annotations"].append(
            {
                "id": len(content["annotations"]) + 1,
                "image_id": image_id,
                "category_id": int(index) + 1,
                "bbox": np.round([*low, *(high - low)], 2).tolist(),
                "area": round(float(sum(signed_area(ring) for ring in outer)), 2),
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
            "neg_category_ids": sorted(set(range(1, len(letters) + 1)) - set(classes + 1)),
            "not_exhaustive_category_ids": [],
        }
    )


if __name__ == "__main__":
    run_command("glyphs", generate_glyphs)

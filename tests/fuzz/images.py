"""Image files of several formats and modes, as data of a classifier and of a detector."""

import io
import itertools
import random
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from eql_d2.data import ClassificationMapper, DatasetMapper, register_class_folder
from eql_d2.data.datasets.class_folders import read_class_folder
from eql_d2.data.validation.validate import validate_class_folder
from tests.fuzz.runner import Case, in_new_folder
from tests.fuzz.values import damage_bytes

_MODES = {
    "PNG": ("RGB", "L", "P", "RGBA", "1", "I;16", "LA"),
    "JPEG": ("RGB", "L", "CMYK"),
    "TIFF": ("RGB", "L", "F", "I", "I;16", "CMYK", "1"),
    "BMP": ("RGB", "L", "P", "1"),
    "GIF": ("P", "L"),
    "WEBP": ("RGB", "RGBA"),
    "PPM": ("RGB", "L", "1"),
}
_SUFFIXES = (".png", ".jpg", ".tif", ".bmp", ".webp", ".ppm")  # not that of the format


def cases(seed: int) -> Iterator[Case]:
    for index in itertools.count():
        yield f"seed {seed}, case {index}", in_new_folder(_run, f"{seed}/{index}")


def _run(seed: str, folder: Path) -> None:
    rng = random.Random(seed)
    (folder / "class").mkdir()
    path = folder / "class" / f"image{rng.choice(_SUFFIXES)}"
    action = rng.random()
    if action < 0.04:
        path.mkdir()
    elif action < 0.08:
        path.symlink_to(rng.choice(["nowhere.png", path.name, "/dev/null"]))
    elif action < 0.14:
        path.write_bytes(_claiming(rng, encode(rng, "PNG")))
    elif action < 0.3:
        path.write_bytes(encode(rng))
    else:
        path.write_bytes(damage_bytes(rng, encode(rng)))
    use_images(str(folder))


def encode(rng: random.Random, image_format: str | None = None) -> bytes:
    """A small image, perhaps with an EXIF orientation."""
    image_format = image_format or rng.choice(list(_MODES))
    pixels = np.frombuffer(rng.randbytes(20 * 30 * 3), np.uint8).reshape(20, 30, 3)
    mode = rng.choice(_MODES[image_format])
    image = Image.fromarray(pixels)
    if mode == "I;16":
        image = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
    elif mode != "RGB":
        image = image.convert("L" if mode in ("F", "I") else mode).convert(mode)
    exif = Image.Exif()
    exif[0x0112] = rng.randrange(10)
    options = {"exif": exif} if image_format in ("JPEG", "PNG", "WEBP") else {}
    file = io.BytesIO()
    image.save(file, image_format, **options)
    return file.getvalue()


def _claiming(rng: random.Random, png: bytes) -> bytes:
    """A PNG whose header has another size."""
    sides = [rng.choice([0, 1, 20, 13_000, 70_000, 2**31 - 1, 2**32 - 1]) for _ in range(2)]
    return png[:16] + struct.pack(">II", *sides) + png[24:]


def use_images(folder: str) -> None:
    """Validate, register, load and map."""
    findings = validate_class_folder(folder)
    try:
        register_class_folder(folder, folder)
    except ValueError:
        assert findings.errors, "validate has found nothing"
        raise
    assert not findings.errors, f"registered in spite of:\n{findings.format()}"
    _, records = read_class_folder(folder, folder)
    classify = ClassificationMapper(transform=lambda image: image)
    detect = DatasetMapper(is_train=False, augmentations=[], image_format="BGR")
    for record in records:
        classify(record)
        detect(record)

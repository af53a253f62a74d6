"""ImageNet-LT, Places-LT, iNaturalist 2018 and the challenge at AAAI 2023: lists in the forms
of the published ones (facebookresearch/classifier-balancing, ModelTC/AAAI2023_EAMPD on GitHub)."""

import hashlib
from collections.abc import Callable
from pathlib import Path

from .scenes import save, scenes


def _imagenet(split: str, label: int, number: int) -> str:
    # The validation list is of training images, the test list of validation images.
    folder = {0: "n01440764", 1: "n01443537", 2: "n01484850", 999: "n15075141"}[label]
    if split == "test":
        return f"val/{folder}/ILSVRC2012_val_{number:08d}.JPEG"
    return f"train/{folder}/{folder}_{number}.JPEG"


def _places(split: str, label: int, number: int) -> str:
    folder = {0: "airfield", 1: "airplane_cabin", 2: "airport_terminal", 364: "zen_garden"}[label]
    if split == "test":
        return f"val/{folder}/Places365_val_{number:08d}.jpg"
    return f"train/{folder}/{number:08d}.jpg"


def _inaturalist(split: str, label: int, number: int) -> str:
    folder = {7291: "Plantae", 673: "Insecta", 8141: "Plantae", 2650: "Amphibia"}[label]
    name = hashlib.md5(f"{split}{number}".encode()).hexdigest()
    return f"train_val2018/{folder}/{label}/{name}.jpg"


def _aaai2023(split: str, label: int, number: int) -> str:
    return f"data/{number:05d}.png"


# Start of the list files, folder of the images, form of a path, labels by split
_LISTS: list[tuple[str, str, Callable, dict[str, tuple[int, ...]]]] = [
    (
        "imagenet_lt/ImageNet_LT_",
        "imagenet",
        _imagenet,
        {"train": (0, 0, 1, 999), "val": (0, 2), "test": (0, 2, 999)},
    ),
    (
        "places_lt/Places_LT_",
        "places365",
        _places,
        {"train": (0, 0, 1, 364), "val": (0, 2), "test": (0, 2, 364)},
    ),
    (
        "inaturalist18/iNaturalist18_",
        "inaturalist18",
        _inaturalist,
        {"train": (7291, 7291, 673, 8141), "val": (7291, 2650, 8141)},
    ),
    ("aaai2023/", "aaai2023", _aaai2023, {"train": (0, 0, 1, 88), "val": (0, 2, 88)}),
]


def make_image_lists(root: Path) -> None:
    """Write the lists and the images in them."""
    for seed, (start, images, path_of, splits) in enumerate(_LISTS, start=20):
        for offset, (split, labels) in enumerate(splits.items(), start=1):
            lines = []
            drawn = scenes(10 * seed + offset, len(labels), num_objects=1)
            for number, (label, scene) in enumerate(zip(labels, drawn), start=1000 * offset):
                path = path_of(split, label, number)
                save(scene.pixels, root / images / path)
                lines.append(f"{path} {label}\n")
            list_file = root / f"{start}{split}.txt"
            list_file.parent.mkdir(parents=True, exist_ok=True)
            list_file.write_text("".join(lines))

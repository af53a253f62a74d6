"""ADE20K: ``ADEChallengeData2016`` as it is published, with the label maps that Detectron2 reads,
those of its ``datasets/prepare_ade20k_sem_seg.py``."""

from pathlib import Path

import numpy as np

from .scenes import save, scenes

_SPLITS = {"training": ("train", 4), "validation": ("val", 2)}
# Of the objects, 1 to 150 as in the published maps, where 0 is no label
_LABELS = (13, 150, 20, 83)
_WALL = 1


def make_ade20k(root: Path) -> None:
    """Write images, published and prepared label maps, and the file of scene names."""
    folder = root / "ADEChallengeData2016"
    names = []
    for seed, (split, (short, number)) in enumerate(_SPLITS.items(), start=30):
        for i, scene in enumerate(scenes(seed, number), start=1):
            name = f"ADE_{short}_{i:08d}"
            labels = np.full(scene.pixels.shape[:2], _WALL, np.uint8)
            labels[:3] = 0
            for label, (x, y, w, h) in zip(_LABELS, scene.objects):
                labels[y : y + h, x : x + w] = label
            save(scene.pixels, folder / "images" / split / f"{name}.jpg")
            save(labels, folder / "annotations" / split / f"{name}.png")
            prepared = labels - np.uint8(1)  # no label becomes 255
            save(prepared, folder / "annotations_detectron2" / split / f"{name}.png")
            names.append(f"{name} misc\n")
    (folder / "sceneCategories.txt").write_text("".join(names))

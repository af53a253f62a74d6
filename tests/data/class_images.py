"""Small images of classes that differ in colour, as folders of classes or as a list."""

import numpy as np
from PIL import Image


def make_class_folders(root, sizes, seed=0, side=40):
    """``root/class<k>/<i>.png``, ``sizes[k]`` images of class k; returns the path as a string."""
    rng = np.random.default_rng(seed)
    for k, size in enumerate(sizes):
        folder = root / f"class{k}"
        folder.mkdir(parents=True)
        for i in range(size):
            pixels = rng.integers(0, 120, (side, side + 8, 3), dtype=np.uint8)
            pixels[..., k % 3] += np.uint8(60 + 30 * (k // 3))
            Image.fromarray(pixels).save(folder / f"{i}.png")
    return str(root)


def make_image_list(root, labels, seed=0):
    """``root/<i>.png`` and ``root/list.txt``; returns the path of the list."""
    make_class_folders(root, [len(labels)], seed)
    lines = [f"class0/{i}.png {label}\n" for i, label in enumerate(labels)]
    (root / "list.txt").write_text("".join(lines))
    return str(root / "list.txt")

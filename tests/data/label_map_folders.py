"""Small scenes with label maps, for the tests of segmentation."""

import numpy as np
from PIL import Image

CLASSES = ["sky", "grass", "house", "cat", "comet"]


def make_mask_folder(folder, num_images=6, size=(64, 96), seed=0):
    """Coloured rectangles; class k in one of k + 1 images. Returns the three arguments of
    ``register_mask_folder``."""
    rng = np.random.default_rng(seed)
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    height, width = size
    for i in range(num_images):
        labels = np.zeros(size, np.uint8)
        labels[:4] = 255
        for k in range(1, len(CLASSES)):
            if i % (k + 1) == 0:
                y, x = rng.integers(4, height - 20), rng.integers(0, width - 20)
                labels[y : y + 20, x : x + 20] = k
        pixels = 40 * labels[..., None] + rng.integers(0, 20, (*size, 3), dtype=np.uint8)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / "images" / f"{i}.jpg")
        Image.fromarray(labels).save(folder / "masks" / f"{i}.png")
    (folder / "classes.txt").write_text("\n".join(CLASSES) + "\n")
    return tuple(str(folder / name) for name in ("images", "masks", "classes.txt"))


def as_semantic_fpn(cfg, loss="SoftmaxEQL"):
    """Turn the tiny Mask R-CNN of the tests into a tiny Semantic FPN."""
    cfg.MODEL.META_ARCHITECTURE = "SemanticSegmentor"
    cfg.MODEL.SEM_SEG_HEAD.NAME = "EQLSemSegFPNHead"
    cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = len(CLASSES)
    cfg.MODEL.SEM_SEG_HEAD.CONVS_DIM = 8
    cfg.MODEL.SEM_SEG_HEAD.NORM = ""
    cfg.MODEL.SEM_SEG_HEAD.LOSS_TYPE = "cross_entropy"
    cfg.MODEL.EQL.LOSS = loss
    cfg.INPUT.CROP.ENABLED = True
    cfg.INPUT.CROP.TYPE = "absolute"
    cfg.INPUT.CROP.SIZE = [64, 64]
    cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS = False
    return cfg

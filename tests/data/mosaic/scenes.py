"""Training data of one rectangle an image, small enough to mix many."""

import numpy as np
from detectron2.data import DatasetFromList
from PIL import Image

from eql_d2.data import DatasetMapper, MosaicDataset
from tests.data.rectangles import COLORS, annotation_of, image_of

SIZES = ((60, 80), (80, 60), (100, 100), (40, 120), (90, 70))


def random_records(count, seed=0):
    """Records without files, each with up to six boxes, some of them beyond the edge."""
    rng = np.random.default_rng(seed)
    records = []
    for i in range(count):
        height, width = (int(side) for side in rng.integers(30, 200, 2))
        low = rng.uniform(0, 0.9, (rng.integers(0, 7), 2)) * (width, height)
        high = low + rng.uniform(0, 0.6, low.shape) * (width, height)
        boxes = np.concatenate([low, high], axis=1)
        annotations = [annotation_of(box.tolist(), int(rng.integers(5))) for box in boxes]
        shape = {"height": height, "width": width}
        name = {"file_name": f"{i}.png", "image_id": i}
        records.append({**name, **shape, "annotations": annotations})
    return records


def draw_records(folder, count=5):
    """Image files: record i has a rectangle of color i and class i; the fifth is grey, without."""
    rng = np.random.default_rng(1)
    records = []
    for i in range(count):
        height, width = SIZES[i % len(SIZES)]
        x, y = int(rng.integers(5, width // 3)), int(rng.integers(5, height // 3))
        box = (x, y, x + width // 2, y + height // 2)
        if i < len(COLORS):
            pixels, annotations = image_of((height, width), box, COLORS[i]), [annotation_of(box, i)]
        else:
            pixels, annotations = np.full((height, width, 3), 60 + i, np.uint8), []
        path = str(folder / f"{i}.png")
        Image.fromarray(pixels).save(path)
        shape = {"height": height, "width": width}
        records.append({"file_name": path, "image_id": i, **shape, "annotations": annotations})
    return records


def mapper_of(augmentations=(), **kwargs):
    settings = {"image_format": "RGB", "is_train": True, **kwargs}
    return DatasetMapper(augmentations=list(augmentations), **settings)


def dataset_of(records, mixing, mapper=None, num_mixed=1_000_000, **kwargs):
    records = DatasetFromList(records, copy=False)
    return MosaicDataset(records, mapper or mapper_of(), mixing, num_mixed, **kwargs)

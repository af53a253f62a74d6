"""Images of several rectangles of the colours of their classes, the last of which is rare."""

import numpy as np
import pycocotools.mask as mask_util
from PIL import Image

from eql_d2.data import CopyPaste, CopyPasteDataset
from tests.data.mosaic.scenes import mapper_of
from tests.data.rectangles import COLORS, annotation_of

SIZES = ((60, 80), (80, 60), (70, 70))
RARE = 3
# On 1 of 12 images: the only class with a repeat factor above 1
THRESHOLD = 0.1


def draw_records(folder, count=12):
    """Image files: in each quarter of an image a rectangle, a crowd region (grey) or nothing; a
    rectangle of the rare class in the first image only."""
    rng = np.random.default_rng(2)
    records = []
    for i in range(count):
        height, width = SIZES[i % len(SIZES)]
        image, annotations = np.zeros((height, width, 3), np.uint8), []
        for quarter in range(4):
            category = RARE if (i, quarter) == (0, 0) else int(rng.integers(-1, RARE))
            is_crowd = quarter == 3 and i % 2 == 0
            if category < 0 and not is_crowd:
                continue
            corner = np.array([quarter % 2 * width, quarter // 2 * height]) // 2
            x0, y0 = (int(v) for v in corner + rng.integers(1, 8, 2))
            x1, y1 = (int(v) for v in (x0, y0) + rng.integers(10, 20, 2))
            image[y0:y1, x0:x1] = 128 if is_crowd else COLORS[category]
            mask = np.zeros((height, width), np.uint8, order="F")
            mask[y0:y1, x0:x1] = 1
            segmentation = mask_util.encode(mask) if quarter % 2 else None
            annotation = annotation_of((x0, y0, x1, y1), max(category, 0), segmentation)
            annotations.append(annotation | {"iscrowd": int(is_crowd)})
        path = str(folder / f"{i}.png")
        Image.fromarray(image).save(path)
        shape = {"height": height, "width": width}
        records.append({"file_name": path, "image_id": i, **shape, "annotations": annotations})
    return records


def pasting_of(**kwargs):
    return CopyPaste(**{"repeat_threshold": THRESHOLD, **kwargs})


def dataset_of(records, mapper=None, **kwargs):
    mapper = mapper or mapper_of(use_instance_mask=True, instance_mask_format="bitmask")
    return CopyPasteDataset(records, mapper, pasting_of(**kwargs))

"""Folders of images and label maps."""

import io
import itertools
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog
from PIL import Image

from eql_d2.data import SemSegMapper, category_table, register_mask_folder
from eql_d2.data.validation.validate import validate_mask_folder
from eql_d2.evaluation import build_evaluator
from tests.data.label_map_folders import make_mask_folder
from tests.fuzz.class_folders import damage_folder
from tests.fuzz.images import encode
from tests.fuzz.runner import Case, in_new_folder
from tests.fuzz.values import damage_bytes


def cases(seed: int) -> Iterator[Case]:
    for index in itertools.count():
        yield f"seed {seed}, case {index}", in_new_folder(_run, f"{seed}/{index}")


def _run(seed: str, folder: Path) -> None:
    rng = random.Random(seed)
    arguments = make_mask_folder(
        folder / "data", num_images=3, size=(40, 60), seed=rng.randrange(9)
    )
    action = rng.randrange(5)
    path = folder / "data" / rng.choice(["masks/1.png", "images/1.jpg"])
    if action == 0:
        path.write_bytes(encode(rng))
    elif action == 1:
        path.write_bytes(damage_bytes(rng, path.read_bytes()))
    elif action == 2:
        labels = np.zeros(rng.choice([(40, 60), (60, 40), (1, 1)]), np.uint8)
        labels[0, 0] = rng.randrange(256)
        image = Image.fromarray(labels).convert(rng.choice(["L", "P", "1", "RGB", "I"]))
        image.save(file := io.BytesIO(), "TIFF")
        path.write_bytes(file.getvalue())
    elif action == 3:
        classes = folder / "data/classes.txt"
        classes.write_bytes(damage_bytes(rng, classes.read_bytes()))
    else:
        for _ in range(rng.choice([0, 1, 2, 4])):
            damage_folder(rng, folder / "data")
    _use(*arguments)


def _use(image_folder: str, mask_folder: str, class_file: str) -> None:
    name = image_folder
    findings = validate_mask_folder(image_folder, mask_folder, class_file)
    try:
        register_mask_folder(name, image_folder, mask_folder, class_file)
    except ValueError:
        assert findings.errors, "validate has found nothing"
        raise
    assert not findings.errors, f"registered in spite of:\n{findings.format()}"
    num_classes = len(MetadataCatalog.get(name).stuff_classes)
    category_table(name)
    settings = {"augmentations": [], "image_format": "BGR", "num_classes": num_classes}
    evaluator = build_evaluator(name, None, training_datasets=[name])
    evaluator.reset()
    for record in DatasetCatalog.get(name):
        sample = SemSegMapper(is_train=True, **settings)(record)
        scores = sample["sem_seg"].new_zeros(num_classes, *sample["sem_seg"].shape).float()
        evaluator.process([SemSegMapper(is_train=False, **settings)(record)], [{"sem_seg": scores}])
    evaluator.evaluate()

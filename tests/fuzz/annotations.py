"""Annotation files: whole use of a detector's data, but for the network."""

import copy
import itertools
import json
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import Boxes, Instances

from eql_d2.data import DatasetMapper, adopt_training_classes, register_json_instances
from eql_d2.data.validation.mask_kinds import check_has_masks, check_mask_format
from eql_d2.data.validation.validate import validate_json
from eql_d2.evaluation import build_evaluator
from tests.conftest import make_annotations
from tests.data.validation.damage import rle
from tests.fuzz.runner import Case, in_new_folder
from tests.fuzz.values import damage_bytes, damage_tree

_NUM_IMAGES = 4


def cases(seed: int) -> Iterator[Case]:
    for index in itertools.count():
        yield f"seed {seed}, case {index}", in_new_folder(_run, f"{seed}/{index}")


def _run(seed: str, folder: Path) -> None:
    rng = random.Random(seed)
    federated, masks = rng.random() < 0.5, rng.choice(["polygons", "run lengths", "both", "none"])
    data = make_annotations(folder, _NUM_IMAGES, federated=federated)
    for annotation in data["annotations"]:
        if masks == "none":
            del annotation["segmentation"]
        elif masks == "run lengths" or (masks == "both" and rng.random() < 0.5):
            annotation["segmentation"] = rle(compressed=rng.random() < 0.5)
        if not federated:
            annotation["iscrowd"] = int(rng.random() < 0.1)
    if rng.random() < 0.8:
        data = copy.deepcopy(data)
        for _ in range(rng.choice([0, 1, 1, 1, 1, 2, 5])):
            damage_tree(rng, data)
        content = json.dumps(data).encode()
    else:
        content = damage_bytes(rng, json.dumps(data).encode())
    path = folder / "data.json"
    path.write_bytes(content)
    use_annotations(str(path), str(folder))


def use_annotations(json_file: str, image_root: str) -> None:
    """Validate, register, load, map and evaluate."""
    name = json_file
    findings = validate_json(json_file, image_root)
    assert findings.format().count("\n") <= 6 * len(findings.errors + findings.warnings)
    try:
        register_json_instances(name, json_file, image_root)
    except ValueError:
        assert findings.errors, "validate has found nothing"
        raise
    assert not findings.errors, f"registered in spite of:\n{findings.format()}"
    records = DatasetCatalog.get(name)
    adopt_training_classes([name], [name])
    counts = MetadataCatalog.get(name).mask_counts
    with_masks = not counts["none"]
    mask_format = "bitmask" if counts["run_lengths"] else "polygon"
    for is_train in (True, False):
        mapper = DatasetMapper(
            is_train=is_train,
            augmentations=[],
            image_format="BGR",
            use_instance_mask=with_masks,
            instance_mask_format=mask_format,
        )
        check_mask_format(mapper, records)
        samples = [mapper(record) for record in records]
    if with_masks:
        check_has_masks([name])
    evaluator = build_evaluator(name, f"{image_root}/results", training_datasets=[name])
    evaluator.reset()
    for record, sample in zip(records, samples):
        evaluator.process([sample], [{"instances": predictions(record, with_masks)}])
    evaluator.evaluate()


def predictions(record: dict, with_masks: bool) -> Instances:
    """The annotated boxes, found with some certainty."""
    size = record["height"], record["width"]
    boxes = np.array([a["bbox"] for a in record["annotations"]], dtype=float).reshape(-1, 4)
    instances = Instances(size)
    corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
    instances.pred_boxes = Boxes(torch.as_tensor(corners, dtype=torch.float32))
    instances.scores = torch.linspace(0.9, 0.1, len(boxes))
    classes = [a["category_id"] for a in record["annotations"]]
    instances.pred_classes = torch.tensor(classes, dtype=torch.int64)
    if with_masks:
        instances.pred_masks = torch.zeros(len(boxes), *size, dtype=torch.bool)
        instances.pred_masks[:, 10:20, 10:20] = True
    return instances

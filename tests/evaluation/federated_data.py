"""Generated data in LVIS v1 format, a model's outputs for it, and lvis-api's verdict on them."""

import contextlib
import copy
import json

import numpy as np
import pytest
import torch
from detectron2.data import MetadataCatalog
from detectron2.evaluation.coco_evaluation import instances_to_coco_json
from detectron2.structures import Boxes, Instances

NUM_CATEGORIES = 40
SIZE = 160  # of the images, pixels: objects of all three area ranges fit in


def make_truth(seed: int, num_images: int = 60) -> dict:
    """Polygons of 1 to 5 categories in each image; every tenth image has none."""
    rng = np.random.default_rng(seed)
    categories = [
        {"id": i + 1, "name": f"thing {i}", "frequency": "rcf"[i % 3], "image_count": 5 * i}
        for i in range(NUM_CATEGORIES)
    ]
    images, annotations = [], []
    for image_id in range(1, num_images + 1):
        order = rng.permutation(NUM_CATEGORIES - 2) + 1  # the last two never occur
        positive = order[: 0 if image_id % 10 == 0 else rng.integers(1, 6)]
        images.append(
            {
                "id": image_id,
                "height": SIZE,
                "width": SIZE,
                "neg_category_ids": order[5:12].tolist(),
                # of positives, and one that is neither positive nor negative
                "not_exhaustive_category_ids": [*positive[:1].tolist(), int(order[12])],
            }
        )
        for category_id in np.repeat(positive, 2):
            x, y, w, h = _random_box(rng)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": int(category_id),
                    "bbox": [x, y, w, h],
                    "area": w * h / 2,
                    "segmentation": [[x, y, x + w, y, x, y + h]],  # a triangle
                }
            )
    return {"images": images, "categories": categories, "annotations": annotations}


def make_outputs(truth: dict, seed: int) -> list[dict]:
    """Per image: jittered objects, random ones, equal scores; here and there hundreds or none."""
    rng = np.random.default_rng(seed + 1000)
    category_ids = sorted(category["id"] for category in truth["categories"])
    outputs = []
    for image in truth["images"]:
        boxes, classes, masks = [], [], []
        for annotation in truth["annotations"]:
            if annotation["image_id"] == image["id"]:
                x, y, w, h = np.array(annotation["bbox"]) + rng.normal(0, 2, 4)
                boxes.append([x, y, x + abs(w), y + abs(h)])
                masks.append(_triangle(x, y, abs(w), abs(h)))
                classes.append(category_ids.index(annotation["category_id"]))
        extra = 350 if image["id"] % 20 == 3 else 30
        for _ in range(extra):
            x, y, w, h = _random_box(rng)
            boxes.append([x, y, x + w * (rng.random() > 0.05), y + h])  # some without area
            mask = _triangle(x, y, w, h)
            masks.append(mask if rng.random() > 0.05 else np.zeros_like(mask))
            classes.append(rng.integers(len(category_ids)))
        keep = slice(0, 0 if image["id"] % 15 == 4 else None)
        instances = Instances((SIZE, SIZE))
        instances.pred_boxes = Boxes(torch.tensor(boxes, dtype=torch.float32))[keep]
        instances.scores = torch.tensor(rng.random(len(boxes)).round(2), dtype=torch.float32)[keep]
        instances.pred_classes = torch.tensor(np.array(classes))[keep]
        instances.pred_masks = torch.tensor(np.array(masks))[keep]
        outputs.append({"instances": instances})
    return outputs


def make_inputs(truth: dict) -> list[dict]:
    return [{"image_id": image["id"]} for image in truth["images"]]


def without_masks(outputs: list[dict]) -> list[dict]:
    outputs = copy.deepcopy(outputs)
    for output in outputs:
        output["instances"].remove("pred_masks")
    return outputs


@contextlib.contextmanager
def registered(name: str, path, truth: dict, **metadata):
    """Write the annotations to `path` and give the data set its metadata while inside."""
    path.write_text(json.dumps(truth))
    MetadataCatalog.get(name).set(json_file=str(path), evaluator_type="lvis", **metadata)
    try:
        yield name
    finally:
        MetadataCatalog.remove(name)


def evaluate(evaluator, truth: dict, outputs: list[dict]) -> dict:
    """Run the evaluator over all images, one at a time."""
    evaluator.reset()
    for image, output in zip(make_inputs(truth), outputs, strict=True):
        evaluator.process([image], [copy.deepcopy(output)])
    return evaluator.evaluate()


def lvis_api_rows(truth: dict, outputs: list[dict], task: str) -> list[dict]:
    """All detections as Detectron2 hands them to lvis-api for the task."""
    category_ids = sorted(category["id"] for category in truth["categories"])
    rows = []
    for image, output in zip(make_inputs(truth), outputs, strict=True):
        rows += instances_to_coco_json(output["instances"], image["image_id"])
    for row in rows:
        row["category_id"] = category_ids[row["category_id"]]
        if task == "segm":
            del row["bbox"]
    return rows


def lvis_api_results(path, rows: list[dict], task: str, max_dets: int = 300) -> dict[str, float]:
    """The 13 numbers of lvis-api itself in percent, nan where it has -1."""
    from lvis import LVIS, LVISEval, LVISResults

    truth = LVIS(str(path))
    evaluation = LVISEval(truth, LVISResults(truth, copy.deepcopy(rows), max_dets), task)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(np, "float", float, raising=False)
        evaluation.run()
    return {
        name: float("nan") if value == -1 else float(value * 100)
        for name, value in evaluation.get_results().items()
    }


def _random_box(rng) -> list[float]:
    size = rng.choice([12, 50, 130])
    w, h = (size * rng.uniform(0.7, 1.1, 2)).tolist()
    return [rng.uniform(0, SIZE - w), rng.uniform(0, SIZE - h), w, h]


def _triangle(x: float, y: float, w: float, h: float) -> np.ndarray:
    rows, columns = np.mgrid[:SIZE, :SIZE] + 0.5
    u, v = (columns - x) / w, (rows - y) / h
    return (u >= 0) & (v >= 0) & (u + v <= 1)

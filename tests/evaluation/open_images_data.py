"""Small Open Images sets: csv files, converted; a model's outputs; and a slow evaluation."""

import contextlib
import json

import numpy as np
import torch
from detectron2.data import MetadataCatalog
from detectron2.structures import Boxes, Instances
from PIL import Image

from eql_d2.data.datasets.open_images import convert_open_images

SIZE = 100  # of the images, pixels


def convert(folder, boxes, *, num_classes=3, labels=None, parents=None):
    """Write csv files and images to the folder, convert them and return the path.

    Args:
        boxes: (image, class, x0, y0, x1, y1, is group-of) in pixels.
        labels: (image, class, 1 present or 0 absent).
        parents: parent by class.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = ["ImageID,LabelName,XMin,XMax,YMin,YMax,IsGroupOf"]
    for image, k, x0, y0, x1, y1, group in boxes:
        rows.append(f"{image},/m/{k},{x0 / SIZE},{x1 / SIZE},{y0 / SIZE},{y1 / SIZE},{int(group)}")
    (folder / "boxes.csv").write_text("\n".join(rows))
    (folder / "classes.csv").write_text("".join(f"/m/{k},class {k}\n" for k in range(num_classes)))
    optional = {}
    if labels is not None:
        rows = [f"{image},/m/{k},{present}" for image, k, present in labels]
        (folder / "labels.csv").write_text("\n".join(["ImageID,LabelName,Confidence", *rows]))
        optional["image_labels_csv"] = folder / "labels.csv"
    if parents is not None:
        nodes = {k: {"LabelName": f"/m/{k}", "Subcategory": []} for k in range(num_classes)}
        root = {"LabelName": "/m/root", "Subcategory": []}
        for k, node in nodes.items():
            (nodes[parents[k]] if k in parents else root)["Subcategory"].append(node)
        (folder / "hierarchy.json").write_text(json.dumps(root))
        optional["hierarchy_json"] = folder / "hierarchy.json"
    for image in {row[0] for row in [*boxes, *(labels or ())]}:
        Image.new("L", (SIZE, SIZE)).save(folder / f"{image}.jpg")
    arguments = (folder / "boxes.csv", folder / "classes.csv", folder, folder / "truth.json")
    convert_open_images(*arguments, **optional)
    return folder / "truth.json"


@contextlib.contextmanager
def registered(name, path):
    MetadataCatalog.get(name).set(json_file=str(path), evaluator_type="open_images")
    try:
        yield name
    finally:
        MetadataCatalog.remove(name)


def images_of(path):
    """Ids by name."""
    images = json.loads(path.read_text())["images"]
    return {image["file_name"].removesuffix(".jpg"): image["id"] for image in images}


def run(evaluator, path, detections):
    """Evaluate (image, class, x0, y0, x1, y1, score) over all images, one at a time."""
    evaluator.reset()
    for name, image_id in images_of(path).items():
        own = [d for d in detections if d[0] == name]
        evaluator.process([{"image_id": image_id}], [{"instances": to_instances(own)}])
    return evaluator.evaluate()


def to_instances(detections):
    instances = Instances((SIZE, SIZE))
    boxes = torch.tensor([d[2:6] for d in detections], dtype=torch.float32).reshape(-1, 4)
    instances.pred_boxes = Boxes(boxes)
    instances.scores = torch.tensor([d[6] for d in detections], dtype=torch.float32)
    instances.pred_classes = torch.tensor([d[1] for d in detections], dtype=torch.int64)
    return instances


def random_data(seed, num_images=12, num_classes=10):
    """Boxes, labels, parents and detections; scores without ties, coordinates of whole pixels."""
    rng = np.random.default_rng(seed)
    boxes, labels, detections = [], [], []
    for image in range(num_images):
        name = f"i{image}"
        for k in rng.permutation(num_classes - 1)[: rng.integers(0, 4)]:
            for _ in range(rng.integers(1, 4)):
                box = _random_box(rng)
                boxes.append((name, int(k), *box, bool(rng.random() < 0.3)))
                for _ in range(rng.integers(0, 3)):
                    shift = rng.integers(-4, 5, 4)
                    found = [box[i] + int(shift[i]) for i in range(4)]
                    detections.append((name, int(k), *found))
        for k in rng.permutation(num_classes)[:4]:
            labels.append((name, int(k), int(rng.random() < 0.5)))
        for _ in range(25):
            detections.append((name, int(rng.integers(num_classes)), *_random_box(rng)))
    scores = rng.permutation(len(detections)) / len(detections)
    detections = [(*d, float(score)) for d, score in zip(detections, scores)]
    parents = {0: 1, 1: 2, 3: 2, 4: 5}
    return boxes, labels, parents, detections


def _random_box(rng):
    x, y = rng.integers(5, 60, 2).tolist()
    return [x, y, x + int(rng.integers(10, 35)), y + int(rng.integers(10, 35))]


def slow_average_precision(boxes, labels, parents, detections, num_classes):
    """AP in percent of each class by loops and the rules as they are written; nan without boxes."""
    ancestors = {k: [k] for k in range(num_classes)}
    for k in range(num_classes):
        while ancestors[k][-1] in parents:
            ancestors[k].append(parents[ancestors[k][-1]])
    verified = {(image, up) for image, k, present in labels if present for up in ancestors[k]}
    verified |= {
        (image, low)
        for image, k, present in labels
        if not present
        for low in range(num_classes)
        if k in ancestors[low]
    }
    verified |= {(image, up) for image, k, *_ in boxes for up in ancestors[k]}
    boxes = [(image, up, *rest) for image, k, *rest in boxes for up in ancestors[k]]
    detections = [(image, up, *rest) for image, k, *rest in detections for up in ancestors[k]]
    detections = [d for d in detections if (d[0], d[1]) in verified]
    return [
        _slow_class([b for b in boxes if b[1] == k], [d for d in detections if d[1] == k])
        for k in range(num_classes)
    ]


def _slow_class(boxes, detections):
    if not boxes:
        return float("nan")
    taken, hits = set(), []
    for image, _, *corners, _score in sorted(detections, key=lambda d: -d[-1]):
        best, best_group = (0, None), (0, None)
        for i, (box_image, _, *box, is_group) in enumerate(boxes):
            if box_image != image:
                continue
            pixels, own, other = _area(_common(corners, box)), _area(corners), _area(box)
            if is_group:
                best_group = max(best_group, (pixels / own, -i), key=lambda b: b[0])
            else:
                best = max(best, (pixels / (own + other - pixels), -i), key=lambda b: b[0])
        if best[0] >= 0.5 and best[1] not in taken:
            taken.add(best[1])
            hits.append(1)
        elif best_group[0] >= 0.5:
            if best_group[1] not in taken:
                hits.append(1)
            taken.add(best_group[1])
        else:
            hits.append(0)
    area, recall, points = 0.0, 0.0, []
    for n in range(1, len(hits) + 1):
        points.append((sum(hits[:n]) / len(boxes), sum(hits[:n]) / n))
    for reached in sorted({r for r, _ in points}):
        area += (reached - recall) * max(p for r, p in points if r >= reached)
        recall = reached
    return 100 * area


def _common(a, b):
    return [max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])]


def _area(box):
    return max(box[2] - box[0], 0) * max(box[3] - box[1], 0)

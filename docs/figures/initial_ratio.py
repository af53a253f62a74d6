"""Figure of docs/prior.md: the gradient ratio that is predicted, and the one that is measured.

    python docs/figures/initial_ratio.py

One pass over the training images with the weights as they begin and the focal loss: the letters of
the demo, generated if they are not there, and 1203 classes of boxes on noise. A minute on one core.
"""

from pathlib import Path

import matplotlib
import numpy as np
import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.modeling import build_model
from detectron2.structures import Boxes, BoxMode, Instances
from detectron2.utils.events import EventStorage

from eql_d2 import add_eql_config
from eql_d2.data.datasets.json_instances import read_json_instances
from eql_d2.demo.glyphs import generate_glyphs
from eql_d2.modeling import count_anchors, initial_regime
from eql_d2.modeling.anchor_counts import ImageSize
from eql_d2.tasks import build_mapper

matplotlib.use("Agg")
import matplotlib.pyplot as plt

ROOT = Path(__file__).parents[2]
NUM_CLASSES, NUM_IMAGES, SIZE = 1203, 400, 160
IMAGES_A_STEP = 8


def config(**keys: object) -> CfgNode:
    cfg = get_cfg()
    add_eql_config(cfg)
    cfg.merge_from_file(str(ROOT / "configs/Demo/glyphs_focal.yaml"))
    cfg.MODEL.DEVICE = "cpu"
    cfg.merge_from_list([x for key, value in keys.items() for x in (f"MODEL.{key}", value)])
    return cfg


def letters(cfg: CfgNode) -> tuple[list[dict], list[dict]]:
    folder = ROOT / "datasets/glyphs"
    generate_glyphs(folder)
    _, records = read_json_instances("letters", str(folder / "train.json"), str(folder / "images"))
    mapper = build_mapper(cfg, is_train=True)
    return records, [mapper(record) for record in records]


def noise(num_classes: int) -> tuple[list[dict], list[dict]]:
    """Nine boxes an image; class k occurs about 1 / (k + 1) as often as class 0."""
    rng, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
    share = 1 / np.arange(1, num_classes + 1)
    records, inputs = [], []
    for _ in range(NUM_IMAGES):
        classes = rng.choice(num_classes, 9, p=share / share.sum())
        corners = rng.integers(0, SIZE - 45, (9, 2))
        boxes = np.hstack([corners, corners + rng.integers(15, 45, (9, 2))]).astype(float)
        objects = [
            {"bbox": box, "bbox_mode": BoxMode.XYXY_ABS, "category_id": int(k)}
            for box, k in zip(boxes.tolist(), classes)
        ]
        records.append({"height": SIZE, "width": SIZE, "annotations": objects})
        instances = Instances((SIZE, SIZE), gt_boxes=Boxes(torch.from_numpy(boxes).float()))
        instances.gt_classes = torch.from_numpy(classes)
        image = 255 * torch.rand(3, SIZE, SIZE, generator=generator)
        inputs.append({"image": image, "instances": instances})
    return records, inputs


def compare(cfg: CfgNode, records: list[dict], inputs: list[dict]) -> tuple[np.ndarray, ...]:
    """Predicted and measured ratio of the classes that occur."""
    torch.manual_seed(1)
    model = build_model(cfg).train()
    anchors = count_anchors(model, records, ImageSize(SIZE, SIZE), batch_size=IMAGES_A_STEP)
    predicted = initial_regime(model.loss_cls, anchors, "f" * cfg.MODEL.RETINANET.NUM_CLASSES).ratio
    model.loss_cls.monitor()
    with EventStorage():
        for first in range(0, len(inputs), IMAGES_A_STEP):
            model(inputs[first : first + IMAGES_A_STEP])
    measured = model.loss_cls.statistics.ratio()
    return predicted[predicted > 0].numpy(), measured[predicted > 0].numpy()


def main() -> None:
    few, many = config(), config(**{"RETINANET.NUM_CLASSES": NUM_CLASSES, "EQL.PRIOR_PROB": 0.001})
    figure, axes = plt.subplots(1, 2, figsize=(9, 4.2), layout="constrained")
    for axis, cfg, data, name in (
        (axes[0], few, letters(few), "letters of the demo, prior 0.03"),
        (axes[1], many, noise(NUM_CLASSES), "1203 classes on noise, prior 0.001"),
    ):
        predicted, measured = compare(cfg, *data)
        error = measured / predicted - 1
        spread = f"mean |error| {np.abs(error).mean():.1%}, mean error {error.mean():+.1%}"
        within = f"{(np.abs(error) < 0.15).mean():.0%} of {len(error)} classes within 15%"
        print(f"{name}: {spread}, largest {np.abs(error).max():.0%}; {within}")
        ends = [predicted.min() / 1.5, predicted.max() * 1.5]
        axis.plot(ends, ends, color="0.6", linewidth=1)
        axis.plot(predicted, measured, ".", alpha=0.5)
        axis.set(xscale="log", yscale="log", xlabel="predicted ratio", title=name)
    axes[0].set_ylabel("measured ratio")
    figure.savefig(Path(__file__).parent / "initial_ratio.png", dpi=110)


if __name__ == "__main__":
    main()

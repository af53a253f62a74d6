"""A training step of YOLOX-IP by its parts, and its mosaic beside the mapper of Detectron2."""

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from detectron2.config import get_cfg
from detectron2.data import DatasetFromList, DatasetMapper
from detectron2.modeling import build_model
from detectron2.structures import Boxes, BoxMode, Instances
from detectron2.utils.events import EventStorage
from PIL import Image
from tabulate import tabulate

from eql_d2 import add_eql_config
from eql_d2.data.build import mosaic_arguments
from eql_d2.data.mosaic import MosaicDataset
from eql_d2.tasks import build_mapper
from tests.benchmarks.memory import peak_memory
from tests.benchmarks.timing import compare

NUM_IMAGES, SIDE, NUM_OBJECTS = 4, 640, 12
WITHOUT_LOSSES, WHOLE = "network", "whole"


def config():
    cfg = get_cfg()
    add_eql_config(cfg)
    cfg.merge_from_file("configs/LVISv1-Detection/yolox_ip_s_eqfl.yaml")
    cfg.MODEL.DEVICE = "cpu"
    return cfg


def boxes():
    corners = torch.rand(NUM_OBJECTS, 2) * (SIDE - 200)
    return torch.cat([corners, corners + 20 + 160 * torch.rand(NUM_OBJECTS, 2)], dim=1)


def make_step(name: str):
    """A function that does forward + backward of the network, with or without the losses, once and
    returns the seconds of its parts."""
    torch.manual_seed(0)
    model = build_model(config()).train()
    inputs = []
    for _ in range(NUM_IMAGES):
        instances = Instances((SIDE, SIDE), gt_boxes=Boxes(boxes()))
        instances.gt_classes = torch.randint(1203, (NUM_OBJECTS,))
        inputs.append({"image": 255 * torch.rand(3, SIDE, SIDE), "instances": instances})

    def step():
        model.zero_grad()
        turns = [time.perf_counter()]
        images = model.preprocess_image(inputs)
        features = [*model.backbone(images.tensor).values()]
        predictions = model.head(list(features))
        turns.append(time.perf_counter())
        instances = [x["instances"] for x in inputs]
        if name == WHOLE:
            losses = model.forward_training(images, features, predictions, instances)
            loss = sum(losses.values())
        else:
            loss = sum(x.mean() for maps in predictions for x in maps)
        turns.append(time.perf_counter())
        loss.backward()
        turns.append(time.perf_counter())
        return np.diff(turns)

    def logged_step():
        with EventStorage():
            return step()

    return logged_step


def step_table(rounds: int) -> None:
    whole, network = make_step(WHOLE), make_step(WITHOUT_LOSSES)
    whole(), network()
    seconds = [(whole(), network()) for _ in range(rounds)]
    forward, losses, backward = (statistics.median(x[0][i] for x in seconds) for i in range(3))
    of_network = statistics.median(x[1][2] for x in seconds)
    total = forward + losses + backward
    rows = [
        ["forward of the network", forward],
        ["assignment and losses, forward", losses],
        ["backward", backward],
        ["backward of the network alone", of_network],
        ["assignment and losses in all", losses + backward - of_network],
    ]
    print(f"\nYOLOX-IP S, EQFL, {NUM_IMAGES} images of {SIDE} x {SIDE} with {NUM_OBJECTS} objects")
    print(tabulate([[a, f"{b:.3f} s", f"{b / total:.1%}"] for a, b in rows], tablefmt="github"))
    memory = [peak_memory(make_step, name) / 2**20 for name in (WITHOUT_LOSSES, WHOLE)]
    print(f"peak memory: network {memory[0]:.0f} MiB, with assignment and losses {memory[1]:.0f}")


def data_table(rounds: int) -> None:
    """The mapper of a mosaic, a plain image of it, and Detectron2's default mapper."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        records = []
        for i in range(40):
            small = rng.integers(0, 255, (60, 80, 3), dtype=np.uint8)
            path = Path(folder, f"{i}.jpg")
            Image.fromarray(small).resize((640, 480), Image.BICUBIC).save(path, quality=90)
            annotations = [
                {"bbox": (box * 0.7).tolist(), "bbox_mode": BoxMode.XYXY_ABS, "category_id": 0}
                for box in boxes()
            ]
            sizes = {"height": 480, "width": 640}
            records.append({"file_name": str(path), "annotations": annotations, **sizes})
        cfg = config()
        mapper = build_mapper(cfg, is_train=True)
        data = DatasetFromList(records)
        mosaic = MosaicDataset(
            data, mapper, mosaic_arguments(cfg)["mosaic"], num_mixed=len(records)
        )
        plain = get_cfg()
        plain.INPUT.MIN_SIZE_TRAIN = (640, 672, 704, 736, 768, 800)
        default = DatasetMapper(plain, is_train=True)
        compare(
            "one training image",
            {
                "Detectron2's mapper, 640 to 800": lambda: default(data[0]),
                "mosaic and mixup": lambda: mosaic.load(0, 0),
                "the same without, at the end": lambda: mosaic.load(len(records), 0),
            },
            rounds,
        )


def main() -> None:
    step_table(rounds=5)
    data_table(rounds=40)


if __name__ == "__main__":
    torch.set_num_threads(2)
    main()

"""Writes the OUTPUT_DIR of a training that never took place, of any number of categories."""

import json

import numpy as np
import yaml
from detectron2.config import get_cfg

from eql_d2 import add_eql_config
from eql_d2.data import frequency_groups
from eql_d2.gradient_record import GradientRecord

LOSS = "roi_heads.box_predictor.loss_cls"


def make_run(folder, num_classes=30, num_rows=4, *, names=None, gain=0.0, task="bbox", key="AP"):
    """A long tail with ratios that fall from 1 to 0 over it, and rise by `gain`.

    The categories are not in the order of their frequency.
    """
    rng = np.random.default_rng(num_classes)
    images = np.maximum(1, 2000 * np.exp(-8 * rng.random(num_classes))).astype(int)
    names = names or [f"category {i}" for i in range(num_classes)]
    categories = [
        {"name": name, "group": group, "image_count": int(n), "instance_count": int(3 * n)}
        for name, group, n in zip(names, frequency_groups(images), images)
    ]
    record = GradientRecord(folder, {LOSS: num_classes}, categories, 0)
    for row in range(1, num_rows + 1):
        positive = images * row * rng.uniform(0.9, 1.1, num_classes)
        negative = positive / (images / images.max() * (1 - gain) + gain)
        record.append(100 * row, {LOSS: np.stack([positive, negative, positive / negative])})
    write_scores(folder, categories, task, key, gain, rng)
    cfg = get_cfg()
    add_eql_config(cfg)
    cfg.MODEL.EQL.LOSS = "EQLv2" if gain else "SoftmaxCE"
    cfg.SOLVER.MAX_ITER = 100 * num_rows
    cfg.SEED = 1
    (folder / "config.yaml").write_text(cfg.dump())
    return folder


def write_scores(folder, categories, task, key, gain, rng):
    """The files of an evaluation; the first category is not in the test data."""
    scores = [None, *rng.uniform(0, 60, len(categories) - 1) + 10 * gain]
    table = [{"id": i, **c, key: s} for i, (c, s) in enumerate(zip(categories, scores))]
    inference = folder / "inference" / "my_val"
    inference.mkdir(parents=True)
    (inference / f"per_category_{task}.json").write_text(json.dumps(table))
    means = {f"{task}/{key}{g}": 20 + 10 * gain for g in ("", "r", "c", "f")}
    (inference / "evaluation.json").write_text(
        json.dumps(
            {
                "version": 1,
                "dataset": "my_val",
                "evaluator": "LVISEvaluator (an engine 1.2)",
                "versions": {"eql_d2": "0"},
                "groups": {"rule": "rare to 10 training images"},
                "results": {},
            }
        )
    )
    lines = [{"iteration": 19, "total_loss": 1.0}, {"iteration": 20} | means]
    (folder / "metrics.json").write_text("".join(json.dumps(line) + "\n" for line in lines))


def write_lazy_config(folder):
    """As Detectron2 dumps a LazyConfig: with python tags, and classes by their names."""
    config = {
        "train": {"seed": 5, "max_iter": 400, "output_dir": str(folder), "range": (1, 2)},
        "model": {"loss_cls": {"_target_": "eql_d2.losses.EQLv2", "num_classes": 30}},
        "dataloader": {"train": {"dataset": {"names": "my_train"}}},
    }
    (folder / "config.yaml").write_text(yaml.dump(config))

"""The ways in, each as users call it, up to the first step of a training.

A door gets a folder with ``train.json`` and ``images``, or settings, and returns what it has made
of them; it raises ``InputError`` or exits with the lines that a user sees.
"""

import sys

import numpy as np
import torch
import yaml
from detectron2.config import get_cfg
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.engine import DefaultTrainer
from detectron2.structures import Boxes, Instances

from eql_d2 import add_eql_config
from eql_d2.data import category_table, register_json_instances
from eql_d2.data.__main__ import main as validate_main
from eql_d2.engine import get_parser, train_net
from eql_d2.evaluation import build_evaluator
from eql_d2.model_zoo import get_config_file
from eql_d2.report.__main__ import main as report_main
from eql_d2.study.plan import TRAIN_NET, read_study
from tests.conftest import TINY

NAME = "a_train"
LAZY = get_config_file("quick_schedules/mask_rcnn_R_18_FPN_instant_eqlv2.py")


def tiny_words(num_classes, *overrides):
    words = [word for line in TINY.split("\n") for word in line.split()]
    words += ["MODEL.MASK_ON", "False", "MODEL.ROI_HEADS.NUM_CLASSES", str(num_classes)]
    return [*words, "INPUT.MIN_SIZE_TRAIN", "(32,)", *map(str, overrides)]


def tiny_yaml(folder):
    """A yaml file, for the overrides of the tiny box detector; one that is there stays."""
    path = folder / "tiny.yaml"
    if not path.exists():
        path.write_text("VERSION: 2\n")
    return str(path)


def counted(name=NAME):
    counts = category_table(name).counts
    return dict(zip(counts.names, counts.image_count.tolist()))


def train_net_words(words):
    train_net.main(get_parser().parse_args(list(map(str, words))))


def own_data(folder):
    return ["--dataset", NAME, folder / "train.json", folder / "images"]


def yaml_config(folder, num_classes, *overrides):
    """``train_net.py --config-file tiny.yaml``."""
    words = ["--config-file", tiny_yaml(folder), *own_data(folder)]
    words += tiny_words(num_classes, "OUTPUT_DIR", folder / "output")
    words += ["DATASETS.TRAIN", f"('{NAME}',)", "DATASETS.TEST", f"('{NAME}',)"]
    train_net_words([*words, *overrides])
    return counted()


def lazy_config(folder, num_classes, *overrides):
    """``train_net.py --config-file config.py``."""
    words = ["--config-file", LAZY, *own_data(folder)]
    words += [f"dataloader.{split}.dataset.names={NAME}" for split in ("train", "test")]
    words += [f"model.roi_heads.num_classes={num_classes}", "model.roi_heads.mask_in_features=null"]
    words += [f"train.output_dir={folder / 'output'}"]
    train_net_words([*words, *overrides])
    return counted()


def study(folder, num_classes, *overrides):
    """``eql-d2 study``: it is read, and its first trial starts ``train_net.py``."""
    words = tiny_words(num_classes, "DATASETS.TRAIN", f"('{NAME}',)")
    words += ["DATASETS.TEST", f"('{NAME}',)", *overrides]
    content = {
        "output": str(folder / "study"),
        "seeds": [1],
        "data": {"options": list(map(str, own_data(folder)))},
        "config": tiny_yaml(folder),
        "overrides": {k: v for k, v in zip(words[::2], words[1::2]) if k != "SEED"},
        "runs": {"a": {}},
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(content))
    (trial,) = read_study(folder / "study.yaml").trials
    train_net_words(trial.command[3 + len(TRAIN_NET) :])
    return counted()


def call(main, *words):
    """A command as its ``main`` reads it; what it exits with is raised."""
    argv, sys.argv = sys.argv, ["eql-d2", *map(str, words)]
    try:
        main("eql-d2")
    except SystemExit as end:
        if end.code:
            raise
    finally:
        sys.argv = argv


def report(folder, num_classes, *options):
    """``eql-d2 report --data``."""
    path = folder / "page.html"
    call(report_main, "--data", folder / "train.json", *options, "--output", path)
    return None


def report_with_config(folder, num_classes):
    """``eql-d2 report --data --config-file``: where the classes begin under a config."""
    return report(folder, num_classes, "--config-file", tiny_yaml(folder))


def validate(folder, num_classes):
    """``eql-d2 validate``."""
    call(validate_main, "validate", "--dataset", folder / "train.json", folder / "images")
    return None


def script(folder, num_classes):
    """A script that registers the data and evaluates with ``build_evaluator``."""
    register_json_instances(NAME, str(folder / "train.json"), str(folder / "images"))
    ap = perfect_ap(NAME, folder / "script")
    assert ap > 99.99, f"AP of perfect detections is {ap}"
    return counted()


def perfect_ap(name, output_dir, training=()):
    """Box AP of detections that are the annotations."""
    evaluator = build_evaluator(name, str(output_dir), training_datasets=training)
    evaluator.reset()
    for record in DatasetCatalog.get(name):
        found = Instances((record["height"], record["width"]))
        objects = [x for x in record["annotations"] if not x.get("iscrowd")]
        boxes = np.array([x["bbox"] for x in objects], dtype=np.float64).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]  # of the files, x, y, width, height
        found.pred_boxes = Boxes(torch.from_numpy(boxes).float())
        found.scores = torch.ones(len(objects))
        found.pred_classes = torch.tensor([x["category_id"] for x in objects], dtype=torch.int64)
        evaluator.process([record], [{"instances": found}])
    return evaluator.evaluate()["bbox"]["AP"]


def default_trainer(folder, num_classes, *overrides):
    """A user's own ``DefaultTrainer``, with ``add_eql_config``."""
    cfg = get_cfg()
    add_eql_config(cfg)
    register_json_instances(NAME, str(folder / "train.json"), str(folder / "images"))
    cfg.merge_from_list(tiny_words(num_classes, "OUTPUT_DIR", str(folder / "output")))
    cfg.merge_from_list(["DATASETS.TRAIN", (NAME,), "DATASETS.TEST", (), *overrides])
    trainer = DefaultTrainer(cfg)
    trainer.resume_or_load(resume=False)
    trainer.train()
    return counted()


def forget():
    """Remove what a door has registered."""
    for name in [name for name in DatasetCatalog.list() if name.startswith("a_")]:
        DatasetCatalog.remove(name)
        MetadataCatalog.remove(name)


DATA_DOORS = (yaml_config, lazy_config, study, report, validate, script, default_trainer)
CONFIG_DOORS = (yaml_config, lazy_config, study, default_trainer)

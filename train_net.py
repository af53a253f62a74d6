#!/usr/bin/env python
"""Train and evaluate long-tailed detectors, with a .yaml or a .py (LazyConfig) config.

    train_net.py --config-file configs/LVISv1-InstanceSegmentation/mask_rcnn_R_50_FPN_1x_eqlv2.yaml
    train_net.py --config-file ... --resume
    train_net.py --config-file ... --eval-only MODEL.WEIGHTS model.pth
    train_net.py --config-file ... --dataset my_train train.json images/ \
        DATASETS.TRAIN "('my_train',)"
"""

import argparse
import json
import logging
import os
import sys

import torch
from detectron2.config import CfgNode, LazyConfig, get_cfg
from detectron2.engine import default_argument_parser, default_setup
from detectron2.evaluation.testing import flatten_results_dict
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger

from eql_d2 import InputError, add_eql_config
from eql_d2.checkpoint import EQLCheckpointer
from eql_d2.data import register_json_instances
from eql_d2.engine import Trainer, evaluate_lazy, launch, train_lazy


def get_parser() -> argparse.ArgumentParser:
    parser = default_argument_parser()
    parser.add_argument(
        "--dataset",
        nargs=3,
        action="append",
        default=[],
        metavar=("NAME", "JSON", "IMAGES"),
        help="register own data: a COCO- or LVIS-format file and its image folder; repeatable. "
        "Give it before the config overrides. In a yaml config: DATASETS.JSON",
    )
    return parser


def start_run(cfg, output_dir: str, args: argparse.Namespace) -> None:
    """Detectron2's logging, seeding and backup of the config, and our own logger."""
    default_setup(cfg, args)
    setup_logger(output_dir, distributed_rank=comm.get_rank(), name="eql_d2")


def setup_yaml(args: argparse.Namespace) -> CfgNode:
    cfg = get_cfg()
    add_eql_config(cfg)
    cfg.merge_from_file(args.config_file, allow_unsafe=False)
    if not torch.cuda.is_available():
        cfg.MODEL.DEVICE = "cpu"
    cfg.merge_from_list(args.opts)
    cfg.DATASETS.JSON = (*cfg.DATASETS.JSON, *map(tuple, args.dataset))
    for name, json_file, images in cfg.DATASETS.JSON:
        register_json_instances(name, json_file, images)
    cfg.freeze()
    start_run(cfg, cfg.OUTPUT_DIR, args)
    return cfg


def main_yaml(args: argparse.Namespace) -> None:
    cfg = setup_yaml(args)
    if args.eval_only:
        model = Trainer.build_model(cfg)
        checkpointer = EQLCheckpointer(model, cfg.OUTPUT_DIR)
        checkpointer.resume_or_load(cfg.MODEL.WEIGHTS, resume=args.resume)
        write_results(Trainer.test(cfg, model), cfg.OUTPUT_DIR)
        return
    trainer = Trainer(cfg)
    trainer.resume_or_load(args.resume)
    trainer.train()


def main_lazy(args: argparse.Namespace) -> None:
    for name, json_file, images in args.dataset:
        register_json_instances(name, json_file, images)
    cfg = LazyConfig.load(args.config_file)
    if not torch.cuda.is_available():
        cfg.train.device = "cpu"
    cfg = LazyConfig.apply_overrides(cfg, args.opts)
    start_run(cfg, cfg.train.output_dir, args)
    if args.eval_only:
        write_results(evaluate_lazy(cfg), cfg.train.output_dir)
    else:
        train_lazy(cfg, resume=args.resume)


def write_results(results: dict, output_dir: str) -> None:
    """Append the results of ``--eval-only`` to the metrics, as training does."""
    if comm.is_main_process() and results:
        with open(os.path.join(output_dir, "metrics.json"), "a") as f:
            f.write(json.dumps(flatten_results_dict(results), sort_keys=True) + "\n")


def is_not_input_error(record: logging.LogRecord) -> bool:
    return not (record.exc_info and isinstance(record.exc_info[1], InputError))


def main(args: argparse.Namespace) -> None:
    # Detectron2 logs a traceback for each failed training; bad input is not worth one.
    logging.getLogger("detectron2.engine.train_loop").addFilter(is_not_input_error)
    try:
        if not os.path.isfile(args.config_file):
            raise InputError(f"config {args.config_file!r} does not exist: give --config-file")
        (main_lazy if args.config_file.endswith(".py") else main_yaml)(args)
    except InputError as error:
        # A data loader's worker puts its traceback before the message.
        sys.exit(f"train_net.py: error: {str(error).strip().splitlines()[-1]}")


if __name__ == "__main__":
    launch(main, get_parser().parse_args())

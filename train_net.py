#!/usr/bin/env python
"""Train and evaluate on long-tailed data, with a .yaml or a .py (LazyConfig) config.

    train_net.py --config-file configs/LVISv1-InstanceSegmentation/mask_rcnn_R_50_FPN_1x_eqlv2.yaml
    train_net.py --config-file ... --resume
    train_net.py --config-file ... --eval-only MODEL.WEIGHTS model.pth
    train_net.py --config-file ... --dataset my_train train.json images/ \
        DATASETS.TRAIN "('my_train',)"
"""

import argparse
import contextlib
import json
import logging
import os
import sys

import torch
from detectron2.config import CfgNode, LazyConfig, get_cfg
from detectron2.engine import default_argument_parser, default_setup
from detectron2.evaluation import verify_results
from detectron2.evaluation.testing import flatten_results_dict
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger

from eql_d2 import InputError, add_eql_config
from eql_d2.checkpoint import EQLCheckpointer
from eql_d2.data import register_own_data
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
        "Give it, and those below, before the config overrides. In a yaml config: DATASETS.JSON",
    )
    parser.add_argument(
        "--class-folder",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "FOLDER"),
        help="the same for image classification: a folder with one folder of images for each "
        "class. In a yaml config: DATASETS.CLASS_FOLDERS",
    )
    parser.add_argument(
        "--long-tail-folder",
        nargs=4,
        action="append",
        default=[],
        metavar=("NAME", "FOLDER", "FACTOR", "SEED"),
        help="the same with a long tail cut from it: the classes, in an order that SEED chooses, "
        "keep fewer and fewer images, the first FACTOR times as many as the last",
    )
    parser.add_argument(
        "--mask-folder",
        nargs=4,
        action="append",
        default=[],
        metavar=("NAME", "IMAGES", "MASKS", "CLASSES"),
        help="the same for segmentation: images, label maps (PNG of class indices, 255 ignored) "
        "and a text file with one class name a line. In a yaml config: DATASETS.MASK_FOLDERS",
    )
    return parser


def start_run(cfg, output_dir: str, args: argparse.Namespace) -> None:
    """Detectron2's logging, seeding and backup of the config, and our own logger."""
    # OpenCV 5 may abort a process that ends while its threads, started for boundary IoU, are there.
    with contextlib.suppress(ImportError):  # Detectron2 does without it
        import cv2

        cv2.setNumThreads(0)
    default_setup(cfg, args)
    setup_logger(output_dir, distributed_rank=comm.get_rank(), name="eql_d2")


def class_folders(args: argparse.Namespace) -> list[tuple]:
    """Entries of DATASETS.CLASS_FOLDERS for the options."""
    entries = [tuple(entry) for entry in args.class_folder]
    for name, folder, factor, seed in args.long_tail_folder:
        try:
            entries.append((name, folder, float(factor), int(seed)))
        except ValueError as error:
            raise InputError(
                f"--long-tail-folder {name} {folder} {factor} {seed}: the last two are a factor "
                "and an integer seed, for example 100 0"
            ) from error
    return entries


def setup_yaml(args: argparse.Namespace) -> CfgNode:
    cfg = get_cfg()
    add_eql_config(cfg)
    cfg.merge_from_file(args.config_file, allow_unsafe=False)
    if not torch.cuda.is_available():
        cfg.MODEL.DEVICE = "cpu"
    cfg.merge_from_list(args.opts)
    cfg.DATASETS.JSON = (*cfg.DATASETS.JSON, *map(tuple, args.dataset))
    cfg.DATASETS.CLASS_FOLDERS = (*cfg.DATASETS.CLASS_FOLDERS, *class_folders(args))
    cfg.DATASETS.MASK_FOLDERS = (*cfg.DATASETS.MASK_FOLDERS, *map(tuple, args.mask_folder))
    register_own_data(cfg.DATASETS.JSON, cfg.DATASETS.CLASS_FOLDERS, cfg.DATASETS.MASK_FOLDERS)
    cfg.freeze()
    start_run(cfg, cfg.OUTPUT_DIR, args)
    return cfg


def main_yaml(args: argparse.Namespace) -> None:
    cfg = setup_yaml(args)
    if args.eval_only:
        model = Trainer.build_model(cfg)
        checkpointer = EQLCheckpointer(model, cfg.OUTPUT_DIR)
        checkpointer.resume_or_load(cfg.MODEL.WEIGHTS, resume=args.resume)
        results = Trainer.test(cfg, model)
        if cfg.TEST.AUG.ENABLED:
            results.update(Trainer.test_with_TTA(cfg, model))
        write_results(results, cfg.OUTPUT_DIR)
        if comm.is_main_process():
            verify_results(cfg, results)
        return
    trainer = Trainer(cfg)
    trainer.resume_or_load(args.resume)
    trainer.train()


def main_lazy(args: argparse.Namespace) -> None:
    register_own_data(args.dataset, class_folders(args), args.mask_folder)
    cfg = LazyConfig.load(args.config_file)
    if not torch.cuda.is_available():
        cfg.train.device = "cpu"
    cfg = LazyConfig.apply_overrides(cfg, args.opts)
    start_run(cfg, cfg.train.output_dir, args)
    if args.eval_only:
        write_results(evaluate_lazy(cfg, resume=args.resume), cfg.train.output_dir)
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

"""A run of ``train_net.py``, in each of its processes."""

import argparse
import contextlib
import importlib
import json
import logging
import os
import sys

from detectron2.config import CfgNode
from detectron2.engine import default_setup
from detectron2.evaluation import verify_results
from detectron2.evaluation.testing import flatten_results_dict
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger

from ..checkpoint import EQLCheckpointer
from ..data import register_own_data
from ..exceptions import InputError, TrainingError
from .arguments import limits_of, own_data_of
from .config import check_lazy, check_yaml, load_lazy, load_yaml
from .defaults import Trainer
from .lazy import evaluate_lazy, train_lazy


def start_run(cfg, output_dir: str, args: argparse.Namespace) -> None:
    """Detectron2's logging, seeding and backup of the config, and our own logger."""
    # OpenCV 5 may abort a process that ends while its threads, started for boundary IoU, are there.
    with contextlib.suppress(ImportError):  # Detectron2 does without it
        importlib.import_module("cv2").setNumThreads(0)
    default_setup(cfg, args)
    setup_logger(output_dir, distributed_rank=comm.get_rank(), name="eql_d2")


def setup_yaml(args: argparse.Namespace) -> CfgNode:
    cfg = load_yaml(args.config_file, args.opts)
    for key, entries in own_data_of(args).items():
        cfg.DATASETS[key] = (*cfg.DATASETS[key], *entries)
    check_yaml(cfg, training=not args.eval_only)
    own_data = (cfg.DATASETS[key] for key in own_data_of(args))
    register_own_data(*own_data, limits=limits_of(cfg, args))
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
    cfg = load_lazy(args.config_file, args.opts)
    own_data = own_data_of(args)
    check_lazy(cfg, own_data, training=not args.eval_only)
    register_own_data(*own_data.values(), limits=limits_of(cfg, args))
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
    return not (record.exc_info and isinstance(record.exc_info[1], (InputError, TrainingError)))


def main(args: argparse.Namespace) -> None:
    """Train or evaluate as the arguments of :func:`eql_d2.engine.get_parser` say.

    Raises:
        SystemExit: with a line for each problem, after bad input or a training that cannot go on.
    """
    # Detectron2 logs a traceback for each failed training; bad input is not worth one.
    logging.getLogger("detectron2.engine.train_loop").addFilter(is_not_input_error)
    try:
        if not os.path.isfile(args.config_file):
            raise InputError(f"config {args.config_file!r} does not exist: give --config-file")
        (main_lazy if args.config_file.endswith(".py") else main_yaml)(args)
    except (InputError, TrainingError) as error:
        sys.exit("\n".join(f"{args.prog}: error: {line}" for line in error.problems))

"""A run of ``train_net.py``, in each of its processes."""

import argparse
import contextlib
import importlib
import json
import logging
import os
import sys
from collections.abc import Iterator

from detectron2.config import CfgNode
from detectron2.engine import default_setup
from detectron2.evaluation import verify_results
from detectron2.evaluation.testing import flatten_results_dict
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger
from omegaconf import DictConfig

from ..checkpoint import EQLCheckpointer
from ..data import register_own_data
from ..exceptions import InputError, TrainingError
from .arguments import limits_of, own_data_of
from .config import check_lazy, check_yaml, load_lazy, load_yaml
from .defaults import Trainer
from .lazy import evaluate_lazy, train_lazy
from .output_folder import held


def start_run(cfg, output_dir: str, args: argparse.Namespace) -> None:
    """Detectron2's logging, seeding and backup of the config, and our own logger."""
    # OpenCV 5 may abort a process that ends while its threads, started for boundary IoU, are there.
    with contextlib.suppress(ImportError):  # Detectron2 does without it
        importlib.import_module("cv2").setNumThreads(0)
    default_setup(cfg, args)
    setup_logger(output_dir, distributed_rank=comm.get_rank(), name="eql_d2")


def read_run(args: argparse.Namespace) -> CfgNode | DictConfig:
    """Config of the run that the arguments ask for, checked; nothing is registered or written.

    Args:
        args: of :func:`eql_d2.engine.get_parser`.

    Raises:
        InputError: a line for each problem.
    """
    if not os.path.isfile(args.config_file):
        raise InputError(f"config {args.config_file!r} does not exist: give --config-file")
    own_data, training = own_data_of(args), not args.eval_only
    if args.config_file.endswith(".py"):
        cfg = load_lazy(args.config_file, args.opts)
        check_lazy(cfg, own_data, training)
        return cfg
    cfg = load_yaml(args.config_file, args.opts)
    for key, entries in own_data.items():
        cfg.DATASETS[key] = (*cfg.DATASETS[key], *entries)
    check_yaml(cfg, training)
    cfg.freeze()
    return cfg


def main_yaml(cfg: CfgNode, args: argparse.Namespace) -> None:
    own_data = (cfg.DATASETS[key] for key in own_data_of(args))
    register_own_data(*own_data, limits=limits_of(cfg, args))
    with held(cfg.OUTPUT_DIR):
        start_run(cfg, cfg.OUTPUT_DIR, args)
        run_yaml(cfg, args)


def run_yaml(cfg: CfgNode, args: argparse.Namespace) -> None:
    if args.eval_only:
        model = Trainer.build_model(cfg)
        Trainer.check_test_data(cfg)
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


def main_lazy(cfg: DictConfig, args: argparse.Namespace) -> None:
    register_own_data(*own_data_of(args).values(), limits=limits_of(cfg, args))
    with held(cfg.train.output_dir):
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
    with _one_line_exits(args):
        cfg = read_run(args)
        (main_yaml if isinstance(cfg, CfgNode) else main_lazy)(cfg, args)


def look(args: argparse.Namespace) -> None:
    """End as :func:`main` would for a config that it refuses, in the process that is to start the
    others.

    Raises:
        SystemExit: with a line for each problem.
    """
    with _one_line_exits(args):
        read_run(args)


@contextlib.contextmanager
def _one_line_exits(args: argparse.Namespace) -> Iterator[None]:
    try:
        yield
    except (InputError, TrainingError) as error:
        sys.exit("\n".join(f"{args.prog}: error: {line}" for line in error.problems))

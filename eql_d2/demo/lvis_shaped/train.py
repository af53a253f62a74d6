"""Training and evaluation of one run."""

import os
from collections.abc import Iterator

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data.samplers import RepeatFactorTrainingSampler, TrainingSampler
from detectron2.engine import SimpleTrainer, hooks
from detectron2.utils.env import seed_all_rng
from detectron2.utils.events import CommonMetricPrinter, JSONWriter

from ...data import CategoriesOfImages
from ...data.category_counts import CategoryCounts
from ...data.category_groups import group_by_images
from ...data.category_table import CategoryTable
from ...engine.hooks import GradientRatioHook
from ...engine.train_net import write_results
from ...evaluation.evaluated_categories import EvaluatedCategories, mean_known
from ...evaluation.evaluation_json import write_evaluation
from ...solver import build_lr_scheduler, build_optimizer
from .evaluation import average_precisions
from .head import Head
from .rois import RoIs, RoISampler, TestImages
from .world import World

_NAME = "lvis_shaped"
_WRITE_PERIOD = 100
# Test images of each class, RoIs without an object on each, and images without a class, of LVIS's
# order of magnitude, on which it is evaluated
_TEST_IMAGES, _BACKGROUND, _NEGATIVES = 4, 16, 200


def train(cfg: CfgNode, world: World) -> dict[str, float]:
    """Train a head and evaluate it; leaves in ``OUTPUT_DIR`` what a training with images does.

    Returns:
        AP, APr, APc and APf in percent.
    """
    os.makedirs(cfg.OUTPUT_DIR, exist_ok=True)
    with open(os.path.join(cfg.OUTPUT_DIR, "config.yaml"), "w") as file:
        file.write(cfg.dump())
    seed_all_rng(_seed(cfg))
    head = Head(cfg, world)
    if head.loss_cls is not None:
        head.loss_cls.prepare_training()
    optimizer = build_optimizer(cfg, head)
    trainer = SimpleTrainer(head, rois_of_steps(cfg, world), optimizer)
    categories = table_of_categories(cfg, world)
    writers = [CommonMetricPrinter(cfg.SOLVER.MAX_ITER)]
    writers += [JSONWriter(os.path.join(cfg.OUTPUT_DIR, "metrics.json"))]
    ratios = GradientRatioHook(cfg.MODEL.EQL.LOG_PERIOD, cfg.OUTPUT_DIR, categories.rows())
    trainer.register_hooks(
        [
            hooks.IterationTimer(),
            hooks.LRScheduler(scheduler=build_lr_scheduler(cfg, optimizer)),
            *([ratios] if cfg.MODEL.EQL.LOG_PERIOD else []),
            hooks.PeriodicWriter(writers, period=_WRITE_PERIOD),
        ]
    )
    trainer.train(0, cfg.SOLVER.MAX_ITER)
    results = evaluate(cfg, world, head.eval(), categories)
    write_results({"bbox": results}, cfg.OUTPUT_DIR)
    return results


def images_of_steps(cfg: CfgNode, world: World) -> Iterator[list[int]]:
    """Images of each step by the sampler of the config; without empty ones, as in Detectron2."""
    shown = np.flatnonzero(np.diff(world.start))
    if cfg.DATALOADER.SAMPLER_TRAIN == "RepeatFactorTrainingSampler":
        data = CategoriesOfImages(world.records(), world.settings.num_classes)
        factors = data.image_factors(cfg.DATALOADER.REPEAT_THRESHOLD)
        sampler = RepeatFactorTrainingSampler(torch.from_numpy(factors), seed=_seed(cfg))
    else:
        sampler = TrainingSampler(len(shown), seed=_seed(cfg))
    indices = iter(sampler)
    while True:
        yield [int(shown[next(indices)]) for _ in range(cfg.SOLVER.IMS_PER_BATCH)]


def rois_of_steps(cfg: CfgNode, world: World) -> Iterator[RoIs]:
    """What a step learns from."""
    roi_heads = cfg.MODEL.ROI_HEADS
    size, foreground = roi_heads.BATCH_SIZE_PER_IMAGE, roi_heads.POSITIVE_FRACTION
    yield from map(RoISampler(world, size, foreground, _seed(cfg)), images_of_steps(cfg, world))


def table_of_categories(cfg: CfgNode, world: World) -> CategoryTable:
    """The classes with counts and groups, as of registered training data."""
    names = [f"class {index}" for index in range(world.settings.num_classes)]
    counts = CategoryCounts(names, list(range(len(names))), world.image_count, world.image_count)
    groups = group_by_images(world.image_count, cfg.MODEL.EQL.FREQUENCY_THRESHOLDS)
    return CategoryTable(counts, groups)


def evaluate(cfg: CfgNode, world: World, head: Head, table: CategoryTable) -> dict[str, float]:
    """AP on the test images, over all classes and by group; writes the files of an evaluation."""
    images = TestImages(world, _TEST_IMAGES, _BACKGROUND, _NEGATIVES)
    scores = average_precisions(head, images, cfg.TEST.DETECTIONS_PER_IMAGE)
    categories = EvaluatedCategories.of_classes(table.counts.names, table)
    by_group = {f"AP{group}": value for group, value in categories.means(scores).items()}
    results = {"AP": mean_known(scores), **by_group}
    folder = os.path.join(cfg.OUTPUT_DIR, "inference")
    os.makedirs(folder, exist_ok=True)
    categories.write_table(folder, "bbox", "AP", scores)
    what = "AP of RoIs at one overlap (eql_d2.demo.lvis_shaped)"
    write_evaluation(folder, _NAME, what, {"bbox": results}, categories, len(scores))
    return results


def _seed(cfg: CfgNode) -> int:
    """Of the training; a negative one, Detectron2's for any, is 0: a run is to be repeatable."""
    return max(cfg.SEED, 0)

"""Trainer for yaml configs: Detectron2's ``DefaultTrainer`` with our data, evaluation and hook."""

import contextlib
import functools
import logging
import os
import weakref
from collections.abc import Iterable, Iterator

import torch
from detectron2.config import CfgNode
from detectron2.data import (
    MetadataCatalog,
    build_detection_test_loader,
    build_detection_train_loader,
)
from detectron2.engine import DefaultTrainer, hooks
from detectron2.engine import defaults as d2_defaults
from detectron2.evaluation import DatasetEvaluator
from detectron2.projects.deeplab import build_lr_scheduler
from detectron2.solver import LRScheduler
from detectron2.utils import comm
from torch import nn

from ..checkpoint import EQLCheckpointer
from ..data import build_mapper
from ..evaluation import build_evaluator
from ..exceptions import InputError
from ..losses import ClassificationLoss
from ..solver import build_optimizer
from .category_table import category_table
from .hooks import GradientRatioHook, ReportHook, find_statistics

logger = logging.getLogger(__name__)

# What sets the number of classes of a meta architecture, in a yaml config and in a LazyConfig
_NUM_CLASSES_KEYS = {
    "GeneralizedRCNN": ("MODEL.ROI_HEADS.NUM_CLASSES", "model.roi_heads.num_classes"),
    "EQLRetinaNet": ("MODEL.RETINANET.NUM_CLASSES", "model.num_classes"),
    "EQLImprovedBaseline": ("MODEL.RETINANET.NUM_CLASSES", "model.num_classes"),
    "ImageClassifier": ("MODEL.CLASSIFIER.NUM_CLASSES", "model.classifier.num_classes"),
    "SemanticSegmentor": ("MODEL.SEM_SEG_HEAD.NUM_CLASSES", "model.sem_seg_head.num_classes"),
}

# Crops of one size go through the network together; Detectron2 takes one image at a time.
_TEST_BATCH_SIZES = {"ImageClassifier": 32}


class Trainer(DefaultTrainer):
    """``DefaultTrainer`` for the losses of this project.

    It logs the gradient ratio every ``MODEL.EQL.LOG_PERIOD`` iterations, evaluates AP of rare,
    common and frequent categories, refuses a model of another number of classes than the data,
    and trains on several CPU processes, which Detectron2's cannot.
    """

    def __init__(self, cfg: CfgNode):
        with ddp_without_device_ids() if cfg.MODEL.DEVICE == "cpu" else contextlib.nullcontext():
            super().__init__(cfg)

    @classmethod
    def build_model(cls, cfg: CfgNode) -> nn.Module:
        model = super().build_model(cfg)
        check_num_classes(model, [*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST])
        return model

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
        return build_optimizer(cfg, model)

    @classmethod
    def build_lr_scheduler(cls, cfg: CfgNode, optimizer: torch.optim.Optimizer) -> LRScheduler:
        # That of DeepLab has the poly schedule besides Detectron2's.
        return build_lr_scheduler(cfg, optimizer)

    @classmethod
    def build_train_loader(cls, cfg: CfgNode) -> Iterable:
        return build_detection_train_loader(cfg, mapper=build_mapper(cfg, is_train=True))

    @classmethod
    def build_test_loader(cls, cfg: CfgNode, dataset_name: str) -> Iterable:
        return build_detection_test_loader(
            cfg,
            dataset_name,
            mapper=build_mapper(cfg, is_train=False),
            batch_size=_TEST_BATCH_SIZES.get(cfg.MODEL.META_ARCHITECTURE, 1),
        )

    @classmethod
    def build_evaluator(cls, cfg: CfgNode, dataset_name: str) -> DatasetEvaluator:
        return build_evaluator(
            dataset_name,
            os.path.join(cfg.OUTPUT_DIR, "inference", dataset_name),
            training_datasets=cfg.DATASETS.TRAIN,
            frequency_thresholds=cfg.MODEL.EQL.FREQUENCY_THRESHOLDS,
            sem_seg_groups=_sem_seg_groups(cfg),
        )

    def build_hooks(self) -> list:
        # Built here, before the hooks that hold it: the base class names its own class.
        self.checkpointer = EQLCheckpointer(
            self.model, self.cfg.OUTPUT_DIR, trainer=weakref.proxy(self)
        )
        ret = super().build_hooks()
        period = self.cfg.MODEL.EQL.LOG_PERIOD
        if period == 0 or not comm.is_main_process():
            return ret
        if find_statistics(self.model):
            categories = category_table(
                self.cfg.DATASETS.TRAIN,
                self.cfg.MODEL.EQL.FREQUENCY_THRESHOLDS,
                _sem_seg_groups(self.cfg),
            )
            # Before the writers, which write what it logs.
            writer = next(i for i, h in enumerate(ret) if isinstance(h, hooks.PeriodicWriter))
            ret.insert(writer, GradientRatioHook(period, self.cfg.OUTPUT_DIR, categories))
        return [*ret, ReportHook(self.cfg.OUTPUT_DIR)]

    def resume_or_load(self, resume: bool = True) -> None:
        super().resume_or_load(resume)
        resumed = resume and self.checkpointer.has_checkpoint()
        if self.cfg.MODEL.EQL.RESET_STATISTICS and not resumed:
            reset_statistics(self.model)


def _sem_seg_groups(cfg: CfgNode) -> tuple[str, tuple]:
    return cfg.MODEL.EQL.SEM_SEG.GROUP_BY, cfg.MODEL.EQL.SEM_SEG.GROUP_THRESHOLDS


def reset_statistics(model: nn.Module) -> None:
    """Forget the gradient statistics of all losses of a model."""
    for path, statistics in find_statistics(model).items():
        statistics.reset()
        logger.info(f"Gradient statistics of {path} start afresh")


def check_num_classes(model: nn.Module, dataset_names: Iterable[str]) -> None:
    """Refuse a model whose losses are for another number of classes than the data sets have.

    Raises:
        InputError: the numbers differ, or the data sets have different categories.
    """
    names = list(dict.fromkeys(dataset_names))
    for kind in ("thing_classes", "stuff_classes"):
        classes = {name: MetadataCatalog.get(name).get(kind) for name in names}
        known = {name: value for name, value in classes.items() if value is not None}
        for name, value in known.items():
            first = next(iter(known))
            if value != known[first]:
                raise InputError(
                    f"data sets {first!r} ({len(known[first])}) and {name!r} ({len(value)}) "
                    "have different categories: give both files the same list"
                )
            _check_losses(model, kind, name, len(value))


def _check_losses(model: nn.Module, kind: str, dataset_name: str, num_classes: int) -> None:
    for path, module in model.named_modules():
        is_sem_seg = "sem_seg_head" in path
        if not isinstance(module, ClassificationLoss) or is_sem_seg != (kind == "stuff_classes"):
            continue
        if module.num_classes != num_classes:
            keys = _NUM_CLASSES_KEYS.get(type(model).__name__, ("its number", path))
            raise InputError(
                f"the model has {module.num_classes} classes but data set {dataset_name!r} has "
                f"{num_classes}: set {keys[0]} {num_classes} (LazyConfig: {keys[1]})"
            )


@contextlib.contextmanager
def ddp_without_device_ids() -> Iterator[None]:
    """Let Detectron2 build a distributed model on CPU: it passes a GPU index, which PyTorch
    refuses there."""
    create_ddp_model = d2_defaults.create_ddp_model
    d2_defaults.create_ddp_model = functools.partial(create_ddp_model, device_ids=None)
    try:
        yield
    finally:
        d2_defaults.create_ddp_model = create_ddp_model

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
from detectron2.utils import comm
from torch import nn

from ..checkpoint import EQLCheckpointer
from ..data import DatasetMapper, frequency_groups, get_image_count
from ..evaluation import build_evaluator
from ..exceptions import InputError
from ..losses import ClassificationLoss
from ..solver import build_optimizer
from .hooks import GradientRatioHook, find_statistics

logger = logging.getLogger(__name__)


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
    def build_train_loader(cls, cfg: CfgNode) -> Iterable:
        return build_detection_train_loader(cfg, mapper=DatasetMapper(cfg, is_train=True))

    @classmethod
    def build_test_loader(cls, cfg: CfgNode, dataset_name: str) -> Iterable:
        mapper = DatasetMapper(cfg, is_train=False)
        return build_detection_test_loader(cfg, dataset_name, mapper=mapper)

    @classmethod
    def build_evaluator(cls, cfg: CfgNode, dataset_name: str) -> DatasetEvaluator:
        return build_evaluator(
            dataset_name,
            os.path.join(cfg.OUTPUT_DIR, "inference", dataset_name),
            training_datasets=cfg.DATASETS.TRAIN,
            frequency_thresholds=cfg.MODEL.EQL.FREQUENCY_THRESHOLDS,
        )

    def build_hooks(self) -> list:
        # Built here, before the hooks that hold it: the base class names its own class.
        self.checkpointer = EQLCheckpointer(
            self.model, self.cfg.OUTPUT_DIR, trainer=weakref.proxy(self)
        )
        ret = super().build_hooks()
        period = self.cfg.MODEL.EQL.LOG_PERIOD
        if period > 0 and comm.is_main_process() and find_statistics(self.model):
            groups = frequency_groups(
                get_image_count(self.cfg.DATASETS.TRAIN), self.cfg.MODEL.EQL.FREQUENCY_THRESHOLDS
            )
            # Before the writers, which write what it logs.
            writer = next(i for i, h in enumerate(ret) if isinstance(h, hooks.PeriodicWriter))
            ret.insert(writer, GradientRatioHook(period, self.cfg.OUTPUT_DIR, groups))
        return ret

    def resume_or_load(self, resume: bool = True) -> None:
        super().resume_or_load(resume)
        resumed = resume and self.checkpointer.has_checkpoint()
        if self.cfg.MODEL.EQL.RESET_STATISTICS and not resumed:
            reset_statistics(self.model)


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
    names = dict.fromkeys(dataset_names)
    classes = {name: MetadataCatalog.get(name).get("thing_classes") for name in names}
    known = [name for name in names if classes[name] is not None]
    for name in known:
        num_classes = len(classes[name])
        if classes[name] != classes[known[0]]:
            raise InputError(
                f"data sets {known[0]!r} ({len(classes[known[0]])}) and {name!r} ({num_classes}) "
                "have different categories: give both files the same list"
            )
        for module in model.modules():
            if isinstance(module, ClassificationLoss) and module.num_classes != num_classes:
                raise InputError(
                    f"the model has {module.num_classes} classes but data set {name!r} has "
                    f"{num_classes}: set MODEL.ROI_HEADS.NUM_CLASSES (one-stage: "
                    f"MODEL.RETINANET.NUM_CLASSES) {num_classes}; LazyConfig: "
                    f"model.roi_heads.num_classes (model.num_classes)"
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

"""Trainer for yaml configs: Detectron2's ``DefaultTrainer`` with our data, evaluation and hook."""

import contextlib
import os
import weakref
from collections import OrderedDict
from collections.abc import Iterable
from functools import partial

import torch
from detectron2.config import CfgNode
from detectron2.data import build_detection_test_loader
from detectron2.engine import DefaultTrainer, hooks
from detectron2.evaluation import DatasetEvaluator
from detectron2.modeling import GeneralizedRCNNWithTTA
from detectron2.solver import LRScheduler
from torch import nn

from ..checkpoint import EQLCheckpointer, check_proposals
from ..data import adopt_training_classes, build_train_loader
from ..distributed import ddp_without_device_ids
from ..evaluation import build_evaluator
from ..exceptions import InputError
from ..refusals import building
from ..solver import build_lr_scheduler, build_optimizer
from ..tasks import build_mapper, check_data_sets, task_of
from .build import (
    EQLSettings,
    averaging_hooks,
    build_hooks,
    prepare_calibration,
    prepare_losses,
    resume_or_load,
)
from .evaluation_checks import check_evaluation
from .exact_resume import ExactResumeHook
from .finite_trainer import FiniteAMPTrainer, FiniteTrainer, naming_newest_checkpoint
from .hooks import ReportHook
from .model_ema import build_ema, evaluated_model
from .output_folder import held
from .prior import without_auto_prior_yaml
from .resolved import resolve
from .resumed_settings import SettingsHook
from .signals import StopHook, stop_signals


class Trainer(DefaultTrainer):
    """``DefaultTrainer`` for the losses of this project.

    It logs the gradient ratio every ``MODEL.EQL.LOG_PERIOD`` iterations, evaluates AP of rare,
    common and frequent categories, refuses a model of another number of classes than the data,
    and trains on several CPU processes, which Detectron2's cannot.
    """

    def __init__(self, cfg: CfgNode):
        if cfg.MODEL.LOAD_PROPOSALS:
            check_proposals(cfg.DATASETS.PROPOSAL_FILES_TRAIN)
            check_proposals(cfg.DATASETS.PROPOSAL_FILES_TEST)
        adopt_training_classes(cfg.DATASETS.TRAIN, ())  # before the first loader
        cfg = resolve(cfg, self.build_train_loader)
        with ddp_without_device_ids() if cfg.MODEL.DEVICE == "cpu" else contextlib.nullcontext():
            super().__init__(cfg)
        trainer_class = FiniteAMPTrainer if cfg.SOLVER.AMP.ENABLED else FiniteTrainer
        self._trainer = trainer_class(
            self.model,
            self.data_loader,
            self.optimizer,
            micro_batches=cfg.SOLVER.MICRO_BATCHES,
        )
        self.check_test_data(cfg)
        if cfg.MODEL.EQL.LOG_PERIOD:
            # Behind the writers, which by Detectron2's idiom hooks.insert(-1, ...) come last
            self.register_hooks([ReportHook(cfg.OUTPUT_DIR)])

    def train(self) -> OrderedDict | None:
        with held(self.cfg.OUTPUT_DIR), naming_newest_checkpoint(self.checkpointer):
            return super().train()

    @classmethod
    def build_model(cls, cfg: CfgNode) -> nn.Module:
        if cfg.TEST.AUG.ENABLED and cfg.MODEL.META_ARCHITECTURE != "GeneralizedRCNN":
            raise InputError(
                f"TEST.AUG.ENABLED is True, but {cfg.MODEL.META_ARCHITECTURE} has no test-time "
                "augmentation in Detectron2, which has it for GeneralizedRCNN: set it to False"
            )
        with building("the model", "MODEL of the config"):
            model = super().build_model(without_auto_prior_yaml(cfg))
        check_data_sets(model, cfg.DATASETS.TRAIN, cfg.DATASETS.TEST)
        return model

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
        with building("the optimizer", "SOLVER of the config"):
            return build_optimizer(cfg, model)

    @classmethod
    def build_lr_scheduler(cls, cfg: CfgNode, optimizer: torch.optim.Optimizer) -> LRScheduler:
        with building("the schedule", "SOLVER of the config"):
            return build_lr_scheduler(cfg, optimizer)

    @classmethod
    def build_train_loader(cls, cfg: CfgNode) -> Iterable:
        with building("the training loader", "DATASETS, DATALOADER, INPUT, MODEL.*_ON"):
            return build_train_loader(cfg, build_mapper(cfg, is_train=True))

    @classmethod
    def build_test_loader(cls, cfg: CfgNode, dataset_name: str) -> Iterable:
        if cfg.MODEL.LOAD_PROPOSALS:
            check_proposals(cfg.DATASETS.PROPOSAL_FILES_TEST)
        return build_detection_test_loader(
            cfg,
            dataset_name,
            mapper=build_mapper(cfg, is_train=False),
            batch_size=task_of(cfg.MODEL.META_ARCHITECTURE).test_batch_size,
        )

    @classmethod
    def build_evaluator(
        cls, cfg: CfgNode, dataset_name: str, output_folder: str | None = None
    ) -> DatasetEvaluator:
        settings = EQLSettings.from_yaml(cfg)
        return build_evaluator(
            dataset_name,
            os.path.join(output_folder or f"{cfg.OUTPUT_DIR}/inference", dataset_name),
            training_datasets=cfg.DATASETS.TRAIN,
            frequency_thresholds=settings.frequency_thresholds,
            sem_seg_groups=settings.sem_seg_groups,
        )

    @classmethod
    def check_test_data(cls, cfg: CfgNode) -> None:
        """Look for what the evaluation needs, see :func:`check_evaluation`. Collective.

        Raises:
            InputError: something is missing.
        """
        for name in cfg.DATASETS.TEST:
            parts = (cls.build_test_loader, cls.build_evaluator)
            check_evaluation([name], *(partial(build, cfg, name) for build in parts))

    @classmethod
    def test(
        cls,
        cfg: CfgNode,
        model: nn.Module,
        evaluators: DatasetEvaluator | list[DatasetEvaluator] | None = None,
    ) -> OrderedDict:
        """Evaluate on ``DATASETS.TEST``, with the calibration of the config. Collective."""
        prepare_calibration(model)
        with stop_signals.interruptible():
            return super().test(cfg, model, evaluators)

    @classmethod
    def test_with_TTA(cls, cfg: CfgNode, model: nn.Module) -> OrderedDict:
        """Evaluate with test-time augmentation (``TEST.AUG``), as Detectron2's script does: the
        names of the results end in ``_TTA``."""
        folder = os.path.join(cfg.OUTPUT_DIR, "inference_TTA")
        evaluators = [cls.build_evaluator(cfg, name, folder) for name in cfg.DATASETS.TEST]
        results = cls.test(cfg, GeneralizedRCNNWithTTA(cfg, model), evaluators)
        return OrderedDict((f"{task}_TTA", metrics) for task, metrics in results.items())

    def build_hooks(self) -> list:
        prepare_losses(self.model)  # before the average, which is a copy, and the checks by hooks
        ema = self.cfg.MODEL.EMA
        average = build_ema(self.model, ema.DECAY, ema.WARMUP)
        self._evaluated = evaluated_model(self.model, average)
        # Built here, before the hooks that hold it: the base class names its own class.
        self.checkpointer = EQLCheckpointer(
            self.model,
            self.cfg.OUTPUT_DIR,
            keep=self.cfg.SOLVER.CHECKPOINT_KEEP,
            model_ema=average,
            trainer=weakref.proxy(self),
        )
        ret = super().build_hooks()
        before = build_hooks(
            self.model,
            EQLSettings.from_yaml(self.cfg),
            self.cfg.DATASETS.TRAIN,
            self.cfg.OUTPUT_DIR,
        )
        if self.cfg.TEST.AUG.ENABLED:
            before.append(hooks.EvalHook(0, lambda: self.test_with_TTA(self.cfg, self._evaluated)))
        evaluation = [isinstance(hook, hooks.EvalHook) for hook in ret].index(True)
        ret[evaluation] = hooks.EvalHook(self.cfg.TEST.EVAL_PERIOD, self._evaluate)
        # Before the evaluation, which signals may end.
        ret.insert(evaluation, StopHook(self.checkpointer))
        # Before the writers, which write what these log; other processes have none.
        is_writer = [isinstance(hook, hooks.PeriodicWriter) for hook in ret]
        place = is_writer.index(True) if True in is_writer else len(ret)
        periods = (self.cfg.TEST.EVAL_PERIOD, self.cfg.SOLVER.CHECKPOINT_PERIOD)
        averaging = averaging_hooks(self.model, average, self.cfg.TEST.AVERAGE_NORM, periods)
        self._settings = SettingsHook(self.cfg, self.cfg.SOLVER.MAX_ITER)
        first = [ExactResumeHook(self.cfg.SEED, self.cfg.OUTPUT_DIR), self._settings]
        return [*first, *averaging, *ret[:place], *before, *ret[place:]]

    def _evaluate(self) -> OrderedDict:
        self._last_eval_results = self.test(self.cfg, self._evaluated)
        return self._last_eval_results

    def resume_or_load(self, resume: bool = True) -> None:
        settings, weights = EQLSettings.from_yaml(self.cfg), self.cfg.MODEL.WEIGHTS
        if resume_or_load(self.checkpointer, weights, resume, settings, self._settings):
            self.start_iter = self.iter + 1

"""Training and evaluation of a LazyConfig, with the same parts as the yaml trainer."""

from collections.abc import Mapping
from functools import partial

from detectron2.config import instantiate
from detectron2.engine import create_ddp_model, default_writers, hooks
from detectron2.evaluation import inference_on_dataset, print_csv_format
from detectron2.utils import comm
from omegaconf import DictConfig, OmegaConf
from torch import nn

from ..checkpoint import EQLCheckpointer, check_proposals
from ..data import adopt_training_classes, instantiate_train_loader
from ..losses import ClassificationLoss
from ..refusals import building
from ..tasks import check_data_sets
from .build import (
    EQLSettings,
    averaging_hooks,
    build_hooks,
    prepare_calibration,
    prepare_losses,
    resume_or_load,
)
from .config.lazy_files import warn_of_unread
from .evaluation_checks import check_evaluation
from .exact_resume import ExactResumeHook
from .finite_trainer import FiniteAMPTrainer, FiniteTrainer, naming_newest_checkpoint
from .hooks import ReportHook
from .model_ema import ModelEMA, build_ema, evaluated_model
from .output_folder import held
from .prior import without_auto_prior
from .resolved import resolve_lazy
from .resumed_settings import SettingsHook
from .signals import StopHook, stop_signals


def build_lazy_model(cfg: DictConfig) -> nn.Module:
    """Instantiate ``cfg.model`` on ``cfg.train.device``.

    Raises:
        InputError: its losses are for another number of classes than the data sets have.
    """
    with building("the model", "model of the config"):
        model = instantiate(without_auto_prior(cfg).model)
    if EQLSettings.from_lazy(cfg).monitor:
        for module in model.modules():
            if isinstance(module, ClassificationLoss):
                module.monitor()
    model.to(cfg.train.device)
    check_data_sets(model, _dataset_names(cfg, "train"), _dataset_names(cfg, "test"))
    return model


def test_lazy(cfg: DictConfig, model: nn.Module) -> Mapping:
    """Evaluate ``model`` on ``cfg.dataloader.test`` with ``cfg.dataloader.evaluator``."""
    prepare_calibration(model)
    with stop_signals.interruptible():
        results = inference_on_dataset(
            model, instantiate(cfg.dataloader.test), instantiate(cfg.dataloader.evaluator)
        )
    if comm.is_main_process():
        print_csv_format(results)
    return results or {}


def train_lazy(cfg: DictConfig, resume: bool) -> None:
    """Train as ``cfg`` says; the keys are those of Detectron2's ``configs/common/train.py``, plus
    ``train.eql`` (reset_statistics, log_period, frequency_thresholds), ``train.epochs``,
    ``train.micro_batches``, ``train.model_ema`` (decay, warmup) and ``train.average_norm``. Others
    are named and left unread."""
    warn_of_unread(cfg)
    _check_proposals(cfg)
    adopt_training_classes(_dataset_names(cfg, "train"), ())  # before the first loader
    cfg = resolve_lazy(cfg)
    kept = SettingsHook(cfg, cfg.train.max_iter)
    model = build_lazy_model(cfg)
    cfg.optimizer.params.model = model
    with building("the optimizer", "optimizer of the config"):
        optimizer = instantiate(cfg.optimizer)
    with building("the training loader", "dataloader.train of the config"):
        loader = instantiate_train_loader(cfg.dataloader.train)
    _check_test_data(cfg)
    ddp = dict(cfg.train.ddp)
    if cfg.train.device == "cpu":
        ddp["device_ids"] = None
    trainer_class = FiniteAMPTrainer if cfg.train.amp.enabled else FiniteTrainer
    trainer = trainer_class(
        create_ddp_model(model, **ddp),
        loader,
        optimizer,
        micro_batches=cfg.train.get("micro_batches", 1),
    )
    prepare_losses(model)
    average = build_ema(model, **cfg.train.get("model_ema", {}))
    checkpointer = EQLCheckpointer(
        trainer.model,
        cfg.train.output_dir,
        keep=cfg.train.checkpointer.get("max_to_keep") or 0,
        model_ema=average,
        trainer=trainer,
    )
    first, *others = _build_hooks(cfg, trainer, checkpointer, average)
    trainer.register_hooks([first, kept, *others])
    settings, weights = EQLSettings.from_lazy(cfg), cfg.train.init_checkpoint
    resumed = resume_or_load(checkpointer, weights, resume, settings, kept)
    with held(cfg.train.output_dir), naming_newest_checkpoint(checkpointer):
        trainer.train(trainer.iter + 1 if resumed else 0, cfg.train.max_iter)


def _build_hooks(cfg, trainer, checkpointer, average: ModelEMA | None) -> list:
    settings = EQLSettings.from_lazy(cfg)
    before = build_hooks(
        trainer.model,
        settings,
        _dataset_names(cfg, "train"),
        cfg.train.output_dir,
    )
    evaluated = evaluated_model(trainer.model, average)
    average_norm = cfg.train.get("average_norm", False)
    periods = (cfg.train.eval_period, cfg.train.checkpointer.period)
    first = [
        ExactResumeHook(cfg.train.get("seed", -1), cfg.train.output_dir),
        *averaging_hooks(trainer.model, average, average_norm, periods),
    ]
    ret = [
        hooks.IterationTimer(),
        hooks.LRScheduler(scheduler=instantiate(cfg.lr_multiplier)),
        StopHook(checkpointer),
        hooks.EvalHook(cfg.train.eval_period, lambda: test_lazy(cfg, evaluated)),
    ]
    if comm.is_main_process():
        # The checkpointer keeps the newest, also those of earlier processes.
        options = {**cfg.train.checkpointer, "max_to_keep": None}
        ret.insert(2, hooks.PeriodicCheckpointer(checkpointer, **options))
        writers = default_writers(cfg.train.output_dir, cfg.train.max_iter)
        before += [hooks.PeriodicWriter(writers, period=cfg.train.log_period)]
    report = [ReportHook(cfg.train.output_dir)] if settings.log_period else []
    return [*first, *ret, *before, *report]


def evaluate_lazy(cfg: DictConfig, resume: bool = False) -> Mapping:
    """Evaluate the weights ``cfg.train.init_checkpoint``, or with ``resume`` the last checkpoint of
    the output folder if there is one."""
    _check_proposals(cfg)
    model = build_lazy_model(cfg)
    _check_test_data(cfg)
    checkpointer = EQLCheckpointer(model, cfg.train.output_dir)
    checkpointer.resume_or_load(cfg.train.init_checkpoint, resume=resume)
    return test_lazy(cfg, model)


def _check_proposals(cfg: DictConfig) -> None:
    for split in ("train", "test"):
        check_proposals(OmegaConf.select(cfg, f"dataloader.{split}.dataset.proposal_files") or ())


def _check_test_data(cfg: DictConfig) -> None:
    parts = (cfg.dataloader.test, cfg.dataloader.evaluator)
    check_evaluation(_dataset_names(cfg, "test"), *(partial(instantiate, part) for part in parts))


def _dataset_names(cfg: DictConfig, split: str) -> list[str]:
    names = cfg.dataloader[split].dataset.names
    return [names] if isinstance(names, str) else list(names)

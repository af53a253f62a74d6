"""Training and evaluation of a LazyConfig, with the same parts as the yaml trainer."""

from collections.abc import Mapping

from detectron2.config import instantiate
from detectron2.engine import AMPTrainer, SimpleTrainer, create_ddp_model, default_writers, hooks
from detectron2.evaluation import inference_on_dataset, print_csv_format
from detectron2.utils import comm
from omegaconf import DictConfig, OmegaConf
from torch import nn

from ..checkpoint import EQLCheckpointer
from ..losses import ClassificationLoss
from .category_table import category_table
from .defaults import check_num_classes, reset_statistics
from .hooks import GradientRatioHook, ReportHook, find_statistics

# What a config may set as ``train.eql``; the same as MODEL.EQL.* of a yaml config.
_EQL_DEFAULTS = {
    "monitor": False,
    "reset_statistics": False,
    "log_period": 100,
    "frequency_thresholds": (10, 100),
    "sem_seg_groups": ("pixels", ()),
}


def build_lazy_model(cfg: DictConfig) -> nn.Module:
    """Instantiate ``cfg.model`` on ``cfg.train.device``.

    Raises:
        InputError: its losses are for another number of classes than the data sets have.
    """
    model = instantiate(cfg.model)
    if cfg.train.get("eql", {}).get("monitor", False):
        for module in model.modules():
            if isinstance(module, ClassificationLoss):
                module.monitor()
    model.to(cfg.train.device)
    check_num_classes(model, [*_dataset_names(cfg, "train"), *_dataset_names(cfg, "test")])
    return model


def test_lazy(cfg: DictConfig, model: nn.Module) -> Mapping:
    """Evaluate ``model`` on ``cfg.dataloader.test`` with ``cfg.dataloader.evaluator``."""
    results = inference_on_dataset(
        model, instantiate(cfg.dataloader.test), instantiate(cfg.dataloader.evaluator)
    )
    if comm.is_main_process():
        print_csv_format(results)
    return results or {}


def train_lazy(cfg: DictConfig, resume: bool) -> None:
    """Train as ``cfg`` says; the keys are those of Detectron2's ``configs/common/train.py``, plus
    ``train.eql`` (reset_statistics, log_period, frequency_thresholds)."""
    eql = OmegaConf.merge(_EQL_DEFAULTS, cfg.train.get("eql", {}))
    model = build_lazy_model(cfg)
    cfg.optimizer.params.model = model
    optimizer = instantiate(cfg.optimizer)
    ddp = dict(cfg.train.ddp)
    if cfg.train.device == "cpu":
        ddp["device_ids"] = None
    trainer_class = AMPTrainer if cfg.train.amp.enabled else SimpleTrainer
    trainer = trainer_class(
        create_ddp_model(model, **ddp), instantiate(cfg.dataloader.train), optimizer
    )
    checkpointer = EQLCheckpointer(trainer.model, cfg.train.output_dir, trainer=trainer)
    trainer.register_hooks(_build_hooks(cfg, eql, trainer, checkpointer))

    checkpointer.resume_or_load(cfg.train.init_checkpoint, resume=resume)
    resumed = resume and checkpointer.has_checkpoint()
    if eql.reset_statistics and not resumed:
        reset_statistics(model)
    trainer.train(trainer.iter + 1 if resumed else 0, cfg.train.max_iter)


def _build_hooks(cfg, eql, trainer, checkpointer) -> list:
    ret = [
        hooks.IterationTimer(),
        hooks.LRScheduler(scheduler=instantiate(cfg.lr_multiplier)),
        hooks.EvalHook(cfg.train.eval_period, lambda: test_lazy(cfg, trainer.model)),
    ]
    if comm.is_main_process():
        checkpoint = hooks.PeriodicCheckpointer(checkpointer, **cfg.train.checkpointer)
        ret.insert(2, checkpoint)
        if eql.log_period > 0 and find_statistics(trainer.model):
            categories = category_table(
                _dataset_names(cfg, "train"), eql.frequency_thresholds, eql.sem_seg_groups
            )
            ret.append(GradientRatioHook(eql.log_period, cfg.train.output_dir, categories))
        writers = default_writers(cfg.train.output_dir, cfg.train.max_iter)
        ret.append(hooks.PeriodicWriter(writers, period=cfg.train.log_period))
        if eql.log_period > 0:
            ret.append(ReportHook(cfg.train.output_dir))
    return ret


def evaluate_lazy(cfg: DictConfig) -> Mapping:
    """Evaluate the weights ``cfg.train.init_checkpoint``."""
    model = build_lazy_model(cfg)
    EQLCheckpointer(model, cfg.train.output_dir).load(cfg.train.init_checkpoint)
    return test_lazy(cfg, model)


def _dataset_names(cfg: DictConfig, split: str) -> list[str]:
    names = cfg.dataloader[split].dataset.names
    return [names] if isinstance(names, str) else list(names)

"""What the trainers of yaml configs and of LazyConfigs share."""

import dataclasses
import logging
from collections.abc import Sequence

from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from detectron2.engine import HookBase
from detectron2.utils import comm
from omegaconf import DictConfig
from torch import nn

from ..checkpoint import EQLCheckpointer
from ..data import category_table
from ..data.category_table import count_training_data
from ..exceptions import InputError
from ..losses import Calibration, ClassificationLoss
from ..tasks import check_num_classes, task_of
from .average_norm import AverageNormHook
from .hooks import GradientRatioHook, find_statistics
from .model_ema import EMAHook, ModelEMA
from .output_folder import held
from .prior import InitialRegimeHook
from .resumed_settings import SettingsHook
from .same_statistics import SameStatisticsHook

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class EQLSettings:
    """``MODEL.EQL`` of a yaml config, as far as a trainer reads it, and ``train.eql`` of a
    LazyConfig; see ``loss_config.py``."""

    monitor: bool = False
    reset_statistics: bool = False
    log_period: int = 100
    frequency_thresholds: tuple[int, int] = (10, 100)
    sem_seg_groups: tuple[str, Sequence[float]] = ("pixels", ())

    @classmethod
    def from_yaml(cls, cfg: CfgNode) -> "EQLSettings":
        eql = cfg.MODEL.EQL
        return cls(
            eql.MONITOR,
            eql.RESET_STATISTICS,
            eql.LOG_PERIOD,
            eql.FREQUENCY_THRESHOLDS,
            (eql.SEM_SEG.GROUP_BY, eql.SEM_SEG.GROUP_THRESHOLDS),
        )

    @classmethod
    def from_lazy(cls, cfg: DictConfig) -> "EQLSettings":
        values = cfg.train.get("eql", {})
        known = [field.name for field in dataclasses.fields(cls)]
        for key in values:
            if key not in known:
                raise InputError(f"train.eql.{key} is unknown: choose one of {', '.join(known)}")
        return cls(**values)


def prepare_losses(model: nn.Module) -> None:
    """Let each loss, and its calibration, get what it needs of the training data. Collective."""
    for module in model.modules():
        if isinstance(module, ClassificationLoss):
            module.unread_settings = ""  # the trainers read them
            module.prepare_training()
    prepare_calibration(model)  # what it refuses should not come to light days later


def prepare_calibration(model: nn.Module) -> None:
    """Let the calibration of each loss get its class counts before an evaluation. Collective."""
    for module in model.modules():
        if isinstance(module, Calibration):
            module.prepare()


def build_hooks(
    model: nn.Module, settings: EQLSettings, training: Sequence[str], output_dir: str
) -> list[HookBase]:
    """Hooks to stand before the writers. Collective.

    Args:
        model: with the losses.
        settings: of the config.
        training: names of the training data.
        output_dir: of the training.

    Raises:
        InputError: the training data have another number of categories than the losses.
    """
    if training and MetadataCatalog.get(training[0]).get("evaluator_type") == "sem_seg":
        count_training_data(training)  # names what only a look at all label maps shows
    if settings.log_period == 0:
        return []
    ratio = []
    if find_statistics(model):
        table = category_table(training, settings.frequency_thresholds, settings.sem_seg_groups)
        # Detectron2 knows the classes of some data only now that they are loaded.
        whole = getattr(model, "module", model)  # without DistributedDataParallel
        architecture = type(whole).__name__
        task = task_of(architecture)
        check_num_classes(whole, task, training[0], len(table))
        count = task.class_counts.get(architecture)
        ratio = [
            InitialRegimeHook(table.groups.groups),
            GradientRatioHook(
                settings.log_period, output_dir, table.rows(), count.module if count else ""
            ),
        ]
    same = [SameStatisticsHook(settings.log_period)]
    return same + ratio if comm.is_main_process() else same


def averaging_hooks(
    model: nn.Module, average: ModelEMA | None, average_norm: bool, periods: Sequence[int]
) -> list[HookBase]:
    """Hooks to stand before what saves and evaluates: of the average of the model over the steps,
    and of its batch norms over the processes (``TEST.AVERAGE_NORM``)."""
    found = [] if average is None else [EMAHook(average)]
    if average_norm:
        models = [model] if average is None else [model, average]
        found.append(AverageNormHook(periods, models))
    return found


def resume_or_load(
    checkpointer: EQLCheckpointer,
    weights: str,
    resume: bool,
    settings: EQLSettings,
    kept: SettingsHook,
) -> bool:
    """Load the newest checkpoint of the folder or the weights; whether it was a checkpoint.

    A training that is resumed goes on with the settings that are ``kept`` now. The statistics that
    come with weights are forgotten if the settings say so. Collective.
    """
    with held(checkpointer.save_dir):
        checkpointer.remove_leftovers()
    newest = checkpointer.newest() if resume else ""
    if newest:
        with kept.resuming(newest, checkpointer.training_state(newest)):
            checkpointer.load(newest)
        return True
    checkpointer.load(weights, checkpointables=[])
    if settings.reset_statistics:
        for path, module in checkpointer.model.named_modules():
            if isinstance(module, ClassificationLoss):
                module.reset_statistics()
                logger.info(f"Statistics of {path} start afresh")
    return False

"""Where the classes of a data set would begin with the config of a one-stage detector."""

import os
from collections.abc import Sequence

from detectron2.config import CfgNode
from detectron2.data.samplers import RepeatFactorTrainingSampler
from detectron2.modeling import build_model
from tabulate import tabulate

from ..config import read_config
from ..data import TrainingRecords
from ..exceptions import InputError
from ..modeling import InitialRegime, has_regime, predict_regime
from ..modeling.initial_regime import TARGET_RATIO
from ..refusals import building
from ..tasks import build_mapper
from .profile import DataProfile


def regime_of_config(
    profile: DataProfile, config_file: str | os.PathLike, opts: Sequence[str] = ()
) -> InitialRegime:
    """Predict the gradient ratio with which the classes of a data set begin.

    The number of classes is that of the data, whatever the config says; sampler, sizes of images
    and anchors are the config's.

    Args:
        profile: of the data, with boxes.
        config_file: a yaml config.
        opts: keys and values that change it.

    Raises:
        InputError: the config does not exist, is no yaml, cannot be used, or is not of a one-stage
            detector with a focal loss; or the data have no boxes.
    """
    cfg = _read_config(os.fspath(config_file), opts)
    cfg.MODEL.RETINANET.NUM_CLASSES = len(profile.table)
    cfg.MODEL.DEVICE, cfg.MODEL.WEIGHTS = "cpu", ""
    with building("the model", "MODEL of the config"):
        model = build_model(cfg)
    if not has_regime(model):
        raise InputError(
            f"{config_file} has {cfg.MODEL.META_ARCHITECTURE} with {cfg.MODEL.EQL.LOSS}: the ratio "
            "at the start is predicted for one-stage detectors with FocalLoss, EFL or EQFL"
        )
    records = [x for x in profile.records if "bbox" in next(iter(x["annotations"]), {})]
    if not records:
        raise InputError(f"{profile.name} has no boxes: give annotations in COCO or LVIS format")
    factors = None
    if cfg.DATALOADER.SAMPLER_TRAIN == "RepeatFactorTrainingSampler":
        factors = RepeatFactorTrainingSampler.repeat_factors_from_category_frequency(
            records, cfg.DATALOADER.REPEAT_THRESHOLD
        )
        if cfg.DATALOADER.REPEAT_ROUNDING == "ceil":
            factors = factors.ceil()
    with building("the prediction", "MODEL and INPUT of the config"):
        mapper = build_mapper(cfg, is_train=True)
        data = TrainingRecords(records, mapper, factors, batch_size=cfg.SOLVER.IMS_PER_BATCH)
        return predict_regime(model, data, profile.table.groups.groups)


def regime_rows(regime: InitialRegime) -> tuple[list[str], list[list[str]]]:
    """Header and rows of a table by frequency group."""
    rows = [[name, f"{ratio:.3g}"] for name, ratio in regime.medians.items()]
    return ["group", "gradient ratio that the median class begins with"], rows


def regime_sentences(regime: InitialRegime) -> list[str]:
    """What the table is of, which prior is named, and a warning where there is one."""
    anchors = regime.anchors
    sentences = [
        f"{regime.loss} with prior {regime.prior:g}; {anchors.num_anchors:,.0f} anchors an image, "
        f"{float(anchors.positives.sum()):.1f} of them positive{regime.later}.",
        f"With MODEL.EQL.PRIOR_PROB {regime.suggested_prior:.2g} the median class of the rarest "
        f"group would begin at {TARGET_RATIO:g}.",
    ]
    return [*sentences, f"{regime.warning}."] if regime.is_baseline else sentences


def regime_text(regime: InitialRegime) -> str:
    """Table and sentences for a terminal."""
    header, rows = regime_rows(regime)
    table = tabulate(rows, header, "github", disable_numparse=True, colalign=("left", "right"))
    return "\n".join([table, "", *regime_sentences(regime)])


def _read_config(config_file: str, opts: Sequence[str]) -> CfgNode:
    if not os.path.isfile(config_file):
        raise InputError(f"config {config_file!r} does not exist: check --config-file")
    if config_file.endswith(".py"):
        raise InputError(f"config {config_file!r} is a LazyConfig: give its yaml twin")
    return read_config(config_file, opts)

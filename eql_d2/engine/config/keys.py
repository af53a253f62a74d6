"""The keys of a yaml config, and which of them a run reads."""

import functools
import operator
from collections.abc import Iterator

from detectron2.config import CfgNode, get_cfg

from ...config import add_eql_config
from ...tasks import TASKS


def _with_classes_in(node: str) -> set[str]:
    """Meta architectures whose number of classes is in a node of the config."""
    return {
        architecture
        for task in TASKS
        for architecture, count in task.class_counts.items()
        if count.yaml_key.startswith(node)
    }


BOX_HEADS = _with_classes_in("MODEL.ROI_HEADS.")
_ONE_STAGE = {"RetinaNet"} | _with_classes_in("MODEL.RETINANET.")
# Parts of a config that only some meta architectures read
_READ_BY = {
    "MODEL.ANCHOR_GENERATOR.": BOX_HEADS | _ONE_STAGE | {"ProposalNetwork"},
    "MODEL.RPN.": BOX_HEADS | {"ProposalNetwork"},
    "MODEL.ROI_": BOX_HEADS,
    "MODEL.RETINANET.": _ONE_STAGE,
    "MODEL.SEM_SEG_HEAD.": _with_classes_in("MODEL.SEM_SEG_HEAD."),
    "MODEL.CLASSIFIER.": _with_classes_in("MODEL.CLASSIFIER."),
    "INPUT.CLASSIFICATION.": _with_classes_in("MODEL.CLASSIFIER."),
}
_READ_IN_TRAINING = (
    *("SOLVER.", "MODEL.EMA.", "DATALOADER.SAMPLER", "DATASETS.TRAIN"),
    *("TEST.EVAL_PERIOD", "TEST.AVERAGE_NORM"),
)


def default_config() -> CfgNode:
    """Detectron2's and our keys, with their defaults."""
    cfg = get_cfg()
    add_eql_config(cfg)
    return cfg


def leaves(node: CfgNode, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Dotted keys, and their values."""
    for key, value in node.items():
        if isinstance(value, CfgNode):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def value_of(cfg: CfgNode, key: str) -> object:
    """Value, or node, of a dotted key."""
    return functools.reduce(operator.getitem, key.split("."), cfg)


def is_read(cfg: CfgNode, key: str, training: bool) -> bool:
    """Whether a run may read a key: not that of another kind of model, of something that is not
    ENABLED, or of training in an evaluation."""
    if not training and key.startswith(_READ_IN_TRAINING):
        return False
    if any(
        key.startswith(part) and cfg.MODEL.META_ARCHITECTURE not in readers
        for part, readers in _READ_BY.items()
    ):
        return False
    if key.startswith("MODEL.ROI_MASK_HEAD.") and not cfg.MODEL.MASK_ON:
        return False
    node, _, name = key.rpartition(".")
    return not node or name == "ENABLED" or bool(value_of(cfg, node).get("ENABLED", True))

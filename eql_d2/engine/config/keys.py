"""The keys of a yaml config, and which of them a run reads."""

import functools
import operator
from collections.abc import Iterator

from detectron2.config import CfgNode

# Parts of a config that only some meta architectures read
BOX_HEADS = {"GeneralizedRCNN", "PanopticFPN"}
_ONE_STAGE = {
    "RetinaNet",
    "EQLRetinaNet",
    "EQLImprovedBaseline",
    "EQLImprovedBaselineLegacyBoxes",
}
_READ_BY = {
    "MODEL.ANCHOR_GENERATOR.": BOX_HEADS | _ONE_STAGE | {"ProposalNetwork"},
    "MODEL.RPN.": BOX_HEADS | {"ProposalNetwork"},
    "MODEL.ROI_": BOX_HEADS,
    "MODEL.RETINANET.": _ONE_STAGE,
    "MODEL.SEM_SEG_HEAD.": {"SemanticSegmentor", "PanopticFPN"},
    "MODEL.CLASSIFIER.": {"ImageClassifier"},
    "INPUT.CLASSIFICATION.": {"ImageClassifier"},
}
_READ_IN_TRAINING = ("SOLVER.", "DATALOADER.SAMPLER", "DATASETS.TRAIN", "TEST.EVAL_PERIOD")


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

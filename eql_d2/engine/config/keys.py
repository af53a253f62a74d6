"""Which keys of a yaml config a run reads."""

from detectron2.config import CfgNode

from ...config import value_of
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

"""The keys that only the trainer of this project reads, so that others can be told."""

from detectron2.config import CfgNode

from .keys import default_config, value_of

_KEYS = (
    *("SOLVER.OPTIMIZER", "SOLVER.EPOCHS", "SOLVER.CHECKPOINT_KEEP", "SOLVER.MICRO_BATCHES"),
    *("SOLVER.WEIGHT_DECAY_OVERRIDES", "DATALOADER.REPEAT_ROUNDING", "INPUT.MOSAIC.ENABLED"),
    *("INPUT.LONGEST_EDGE_TRAIN", "INPUT.HSV", "INPUT.MAX_IMAGE_PIXELS", "MODEL.EMA.DECAY"),
    *("INPUT.COPY_PASTE.ENABLED", "MODEL.EQL.RESET_STATISTICS", "TEST.AVERAGE_NORM"),
)
# Values of Detectron2's keys that its own parts do not have
_VALUES = {
    "SOLVER.CLIP_GRADIENTS.CLIP_TYPE": "full_model",
    "SOLVER.LR_SCHEDULER_NAME": "WarmupCosineConstantLR",
}


def settings_of_the_trainer(cfg: CfgNode) -> str:
    """A line that names what a config asks of :class:`eql_d2.engine.Trainer`, for a training by
    another; empty if it asks nothing of it."""
    default = default_config()
    asked = [key for key in _KEYS if value_of(cfg, key) != value_of(default, key)]
    asked += [key for key, value in _VALUES.items() if value_of(cfg, key) == value]
    if not asked:
        return ""
    named = ", ".join(f"{key} {value_of(cfg, key)}" for key in asked)
    return (
        f"eql_d2.engine.Trainer reads {named}, but another trainer trains here: take that one, or "
        "see to them yourself"
    )

"""What values of config keys are right: one table for yaml configs and LazyConfigs.

It has what Detectron2 and PyTorch notice late or never. Arguments that a constructor of ours checks
(losses, calibrations, assigners, ...) are not here: the constructor is where their rule lives.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from ...losses.arguments import is_number
from ...messages import shown


class Rule(NamedTuple):
    """What must hold of a value.

    Attributes:
        holds: whether it does, for a value of any type.
        fix: what to give.
    """

    holds: Callable[[Any], bool]
    fix: str

    def problem(self, key: str, value: object) -> str | None:
        """A line about a value that is wrong, None for one that is right."""
        return None if self.holds(value) else f"{key} is {shown(value)}: give {self.fix}"


def whole(least: int, most: int | None = None) -> Rule:
    """Whole numbers, from and to."""

    def holds(value):
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        return is_whole and least <= value and (most is None or value <= most)

    return Rule(holds, f"a whole number, {_bounds(least, most)}")


def number(least: float | None = None, most: float | None = None, above: float | None = None):
    """Finite numbers, from or above, and to."""

    def holds(value):
        return (
            is_number(value)
            and (least is None or value >= least)
            and (above is None or value > above)
            and (most is None or value <= most)
        )

    limits = _bounds(least, most) if above is None else f"above {above}"
    if above is not None and most is not None:
        limits += f", at most {most}"
    return Rule(holds, f"a number, {limits}")


def one_of(*choices: object) -> Rule:
    return Rule(lambda value: value in choices, f"one of {', '.join(map(repr, choices))}")


def several(
    each: Rule, fewest: int = 1, lengths: tuple[int, ...] = (), rising: bool = False
) -> Rule:
    """Lists or tuples of values that follow a rule."""

    def holds(values):
        if not isinstance(values, (list, tuple)) or not all(map(each.holds, values)):
            return False
        if rising and any(first > second for first, second in zip(values, values[1:])):
            return False
        return len(values) in lengths if lengths else len(values) >= fewest

    count = " or ".join(map(str, lengths)) if lengths else f"{fewest} or more"
    return Rule(holds, f"{count} values{', rising' * rising}, each {each.fix}")


def _bounds(least: float | None, most: float | None) -> str:
    if least is None:
        return "finite" if most is None else f"at most {most}"
    return f"{least} or more" if most is None else f"{least} to {most}"


def _or_none(rule: Rule) -> Rule:
    return Rule(lambda value: value is None or rule.holds(value), f"{rule.fix}, or None")


_COUNT, _SIZE, _POSITIVE = whole(0), whole(1), number(above=0)
# Detectron2 documents .inf, for the L-inf norm.
_POSITIVE_OR_INFINITE = Rule(
    lambda value: value == math.inf or _POSITIVE.holds(value), f"{_POSITIVE.fix}, or .inf"
)
_BELOW_ONE = Rule(
    lambda value: is_number(value) and 0 <= value < 1, "a number, 0 or more and below 1"
)
_SCORE = Rule(lambda value: is_number(value) and value < 1, "a number below 1")
_SHARE, _WEIGHT = number(0, 1), number(0)
_WEIGHT_OR_NONE = _or_none(_WEIGHT)  # Detectron2 takes None for that of all other parameters
_TEXT = Rule(lambda value: isinstance(value, str), "a text in quotes")
_BOX_WEIGHTS = several(_POSITIVE, lengths=(4, 5))
_NORMS = ("BN", "SyncBN", "FrozenBN", "GN", "LN", "nnSyncBN", "naiveSyncBN", "naiveSyncBN_N")
_NORM = one_of("", *_NORMS)
_BOX_LOSS = one_of("smooth_l1", "giou", "diou", "ciou")


def _own_data(num_texts: int) -> Rule:
    def holds(entry):
        return isinstance(entry, (list, tuple)) and all(
            isinstance(word, str) for word in entry[:num_texts]
        )

    return several(
        Rule(holds, "in brackets, names and paths in quotes, see config/defaults.py"), fewest=0
    )


_GROUPS: tuple[tuple[Rule, str], ...] = (
    (
        _SIZE,
        """SOLVER.MAX_ITER SOLVER.CHECKPOINT_PERIOD SOLVER.IMS_PER_BATCH SOLVER.NUM_DECAYS
        SOLVER.MICRO_BATCHES INPUT.MAX_IMAGE_PIXELS INPUT.MAX_SIZE_TRAIN
        INPUT.CLASSIFICATION.CROP_SIZE TEST.AUG.MAX_SIZE TEST.PRECISE_BN.NUM_ITER
        MODEL.FPN.OUT_CHANNELS MODEL.CLASSIFIER.NUM_CLASSES MODEL.ROI_HEADS.NUM_CLASSES
        MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE MODEL.RPN.BATCH_SIZE_PER_IMAGE
        MODEL.RPN.PRE_NMS_TOPK_TRAIN MODEL.RPN.PRE_NMS_TOPK_TEST MODEL.RPN.POST_NMS_TOPK_TRAIN
        MODEL.RPN.POST_NMS_TOPK_TEST MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION MODEL.ROI_BOX_HEAD.FC_DIM
        MODEL.ROI_BOX_HEAD.CONV_DIM MODEL.ROI_BOX_HEAD.FED_LOSS_NUM_CLASSES
        MODEL.ROI_MASK_HEAD.POOLER_RESOLUTION MODEL.ROI_MASK_HEAD.CONV_DIM
        MODEL.RETINANET.NUM_CLASSES MODEL.RETINANET.TOPK_CANDIDATES_TEST
        MODEL.SEM_SEG_HEAD.NUM_CLASSES MODEL.SEM_SEG_HEAD.CONVS_DIM
        MODEL.SEM_SEG_HEAD.COMMON_STRIDE MODEL.RESNETS.NUM_GROUPS MODEL.RESNETS.WIDTH_PER_GROUP
        MODEL.RESNETS.STEM_OUT_CHANNELS MODEL.RESNETS.RES2_OUT_CHANNELS MODEL.RESNETS.RES4_DILATION
        MODEL.RESNETS.RES5_DILATION""",
    ),
    (
        _COUNT,
        """SOLVER.WARMUP_ITERS SOLVER.WARMUP_EPOCHS SOLVER.CHECKPOINT_KEEP SOLVER.CONSTANT_ITERS
        SOLVER.CONSTANT_EPOCHS MODEL.EMA.WARMUP SOLVER.REFERENCE_WORLD_SIZE TEST.EVAL_PERIOD
        VIS_PERIOD MODEL.EQL.LOG_PERIOD DATALOADER.NUM_WORKERS INPUT.MIN_SIZE_TEST
        MODEL.BACKBONE.FREEZE_AT MODEL.ROI_BOX_HEAD.NUM_FC MODEL.ROI_BOX_HEAD.NUM_CONV
        MODEL.ROI_BOX_HEAD.POOLER_SAMPLING_RATIO MODEL.ROI_MASK_HEAD.NUM_CONV
        MODEL.ROI_MASK_HEAD.POOLER_SAMPLING_RATIO MODEL.RETINANET.NUM_CONVS""",
    ),
    (_POSITIVE, "SOLVER.BASE_LR SOLVER.GAMMA SOLVER.BIAS_LR_FACTOR"),
    (_POSITIVE, "SOLVER.CLIP_GRADIENTS.CLIP_VALUE"),
    (_POSITIVE_OR_INFINITE, "SOLVER.CLIP_GRADIENTS.NORM_TYPE"),
    (_BELOW_ONE, "SOLVER.MOMENTUM MODEL.EMA.DECAY MODEL.ANCHOR_GENERATOR.OFFSET"),
    (
        _WEIGHT,
        """SOLVER.WEIGHT_DECAY SOLVER.BASE_LR_END SOLVER.POLY_LR_POWER MODEL.RPN.LOSS_WEIGHT
        MODEL.RPN.BBOX_REG_LOSS_WEIGHT MODEL.RPN.SMOOTH_L1_BETA
        MODEL.ROI_BOX_HEAD.BBOX_REG_LOSS_WEIGHT MODEL.ROI_BOX_HEAD.SMOOTH_L1_BETA
        MODEL.RETINANET.SMOOTH_L1_LOSS_BETA MODEL.SEM_SEG_HEAD.LOSS_WEIGHT""",
    ),
    (_WEIGHT_OR_NONE, "SOLVER.WEIGHT_DECAY_NORM SOLVER.WEIGHT_DECAY_BIAS"),
    (
        _SHARE,
        """SOLVER.WARMUP_FACTOR SOLVER.POLY_LR_CONSTANT_ENDING DATALOADER.REPEAT_THRESHOLD
        INPUT.CLASSIFICATION.FLIP_PROB MODEL.RPN.NMS_THRESH MODEL.RPN.POSITIVE_FRACTION
        MODEL.ROI_HEADS.POSITIVE_FRACTION MODEL.ROI_HEADS.NMS_THRESH_TEST
        MODEL.RETINANET.NMS_THRESH_TEST MODEL.SEM_SEG_HEAD.ASPP_DROPOUT""",
    ),
    (number(above=0, most=1), "INPUT.CROP.SINGLE_CATEGORY_MAX_AREA"),
    (_SCORE, "MODEL.ROI_HEADS.SCORE_THRESH_TEST MODEL.RETINANET.SCORE_THRESH_TEST"),
    (whole(-(2**31), 2**31 - 1), "SEED"),
    (several(_SIZE), "INPUT.MIN_SIZE_TRAIN TEST.AUG.MIN_SIZES"),
    (several(_SIZE, fewest=0, rising=True), "SOLVER.STEPS"),
    (several(_POSITIVE, fewest=0, rising=True), "SOLVER.EPOCH_STEPS"),
    (
        several(_SHARE, rising=True),
        """MODEL.RPN.IOU_THRESHOLDS MODEL.ROI_HEADS.IOU_THRESHOLDS MODEL.RETINANET.IOU_THRESHOLDS
        MODEL.ROI_BOX_CASCADE_HEAD.IOUS""",
    ),
    (
        several(several(_POSITIVE)),
        "MODEL.ANCHOR_GENERATOR.SIZES MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS",
    ),
    (
        _BOX_WEIGHTS,
        """MODEL.RPN.BBOX_REG_WEIGHTS MODEL.ROI_BOX_HEAD.BBOX_REG_WEIGHTS
        MODEL.RETINANET.BBOX_REG_WEIGHTS""",
    ),
    (several(_BOX_WEIGHTS), "MODEL.ROI_BOX_CASCADE_HEAD.BBOX_REG_WEIGHTS"),
    (several(number()), "MODEL.PIXEL_MEAN"),
    (several(_POSITIVE), "MODEL.PIXEL_STD"),
    (several(number(above=0, most=1), lengths=(2,)), "INPUT.CLASSIFICATION.SCALE"),
    (several(_WEIGHT, lengths=(4,)), "INPUT.CLASSIFICATION.COLOR_JITTER"),
    (several(_TEXT, fewest=0), "DATASETS.TRAIN DATASETS.TEST"),
    (_own_data(3), "DATASETS.JSON"),
    (_own_data(2), "DATASETS.CLASS_FOLDERS"),
    (_own_data(4), "DATASETS.MASK_FOLDERS"),
    (
        one_of(
            *("WarmupMultiStepLR", "WarmupCosineLR", "WarmupPolyLR", "WarmupStepWithFixedGammaLR"),
            "WarmupCosineConstantLR",
        ),
        "SOLVER.LR_SCHEDULER_NAME",
    ),
    (one_of(True, False), "TEST.AVERAGE_NORM"),
    (one_of("linear", "constant"), "SOLVER.WARMUP_METHOD"),
    # Detectron2's others read keys that its config does not have.
    (one_of("TrainingSampler", "RepeatFactorTrainingSampler"), "DATALOADER.SAMPLER_TRAIN"),
    (one_of("choice", "range"), "INPUT.MIN_SIZE_TRAIN_SAMPLING"),
    (one_of("horizontal", "vertical", "none"), "INPUT.RANDOM_FLIP"),
    (one_of("polygon", "bitmask"), "INPUT.MASK_FORMAT"),
    (one_of("relative", "relative_range", "absolute", "absolute_range"), "INPUT.CROP.TYPE"),
    (
        _BOX_LOSS,
        """MODEL.RPN.BBOX_REG_LOSS_TYPE MODEL.ROI_BOX_HEAD.BBOX_REG_LOSS_TYPE
        MODEL.RETINANET.BBOX_REG_LOSS_TYPE""",
    ),
    (
        _NORM,
        """MODEL.RESNETS.NORM MODEL.FPN.NORM MODEL.ROI_BOX_HEAD.NORM MODEL.ROI_MASK_HEAD.NORM
        MODEL.SEM_SEG_HEAD.NORM MODEL.RETINANET.NORM""",
    ),
)
RULES: dict[str, Rule] = {key: rule for rule, keys in _GROUPS for key in keys.split()}

# Keys of a LazyConfig that follow the rule of a yaml key
LAZY_RULES: dict[str, Rule] = {
    **{
        key: RULES[yaml_key]
        for key, yaml_key in {
            "train.max_iter": "SOLVER.MAX_ITER",
            "train.checkpointer.period": "SOLVER.CHECKPOINT_PERIOD",
            "train.eval_period": "TEST.EVAL_PERIOD",
            "train.seed": "SEED",
            "train.micro_batches": "SOLVER.MICRO_BATCHES",
            "train.eql.log_period": "MODEL.EQL.LOG_PERIOD",
            "train.model_ema.decay": "MODEL.EMA.DECAY",
            "train.model_ema.warmup": "MODEL.EMA.WARMUP",
            "train.average_norm": "TEST.AVERAGE_NORM",
            "optimizer.lr": "SOLVER.BASE_LR",
            "optimizer.momentum": "SOLVER.MOMENTUM",
            "optimizer.weight_decay": "SOLVER.WEIGHT_DECAY",
            "dataloader.train.total_batch_size": "SOLVER.IMS_PER_BATCH",
            "dataloader.train.num_workers": "DATALOADER.NUM_WORKERS",
            "dataloader.test.num_workers": "DATALOADER.NUM_WORKERS",
        }.items()
    },
    "train.log_period": _SIZE,
    "train.epochs": _COUNT,
    "train.output_dir": _TEXT,
    "train.init_checkpoint": _or_none(_TEXT),
    "train.checkpointer.max_to_keep": _or_none(_SIZE),
    "train.amp.enabled": one_of(True, False),
    "dataloader.test.batch_size": _SIZE,
}

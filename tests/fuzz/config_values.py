"""Values of every key of a yaml config: wrong types, wrong sizes, wrong combinations."""

import functools
import random
from collections.abc import Callable, Iterator

import yaml

from eql_d2.config import leaves
from eql_d2.engine import load_yaml
from tests.fuzz.tiny_runs import TASKS, run, workspace

_NAN, _INF = float("nan"), float("inf")
# By the type of a default
_HOSTILE = {
    bool: (None, "maybe", 3),
    int: (-1, 0, None, 1.5, "x", [1], -7),
    float: (-1.0, 0.0, _NAN, _INF, -_INF, None, "x", 2, 7.5),
    str: ("", "nonsense", None, 3, []),
    tuple: ([], [-1], [0, 0], [_NAN], ["x"], None, 3, [[]], [5, 3], [None]),
    type(None): (-1.0, _NAN, "x", [], 2.0),
}
_HOSTILE[list] = _HOSTILE[tuple]
# Combinations, and values beyond those above
_CHOSEN = (
    {"SOLVER.CHECKPOINT_PERIOD": 0},
    {"SOLVER.STEPS": [5, 3]},
    {"SOLVER.IMS_PER_BATCH": 3, "SOLVER.REFERENCE_WORLD_SIZE": 2},
    {"SOLVER.NESTEROV": True, "SOLVER.MOMENTUM": 0.0},
    {"SOLVER.LR_SCHEDULER_NAME": "WarmupCosineLR", "SOLVER.BASE_LR_END": 1.0},
    {"SOLVER.LR_SCHEDULER_NAME": "WarmupStepWithFixedGammaLR", "SOLVER.NUM_DECAYS": 0},
    {"SOLVER.CLIP_GRADIENTS.ENABLED": True, "SOLVER.CLIP_GRADIENTS.CLIP_VALUE": -1.0},
    {"SOLVER.CLIP_GRADIENTS.ENABLED": True, "SOLVER.CLIP_GRADIENTS.CLIP_TYPE": "x"},
    {"SOLVER.AMP.ENABLED": True},
    {"SOLVER.EPOCHS": 2},
    {"SOLVER.EPOCHS": -2, "SOLVER.MAX_ITER": 40000},
    {"DATASETS.TRAIN": []},
    {"DATASETS.TEST": []},
    {"DATASETS.TEST": [], "TEST.EXPECTED_RESULTS": [["bbox", "AP", 1.0, 0.1]]},
    {"DATASETS.TRAIN": ["lvis_v1_train"]},
    {"DATASETS.TRAIN": ["fuzz_trian"]},
    {"DATASETS.TEST": ["coco_2017_val", "imagenet_lt_val"]},
    {"DATASETS.JSON": ["a", "b", "c"]},
    {"DATASETS.JSON": [["a", 1, 2]]},
    {"DATASETS.CLASS_FOLDERS": [["a", "/nowhere"]]},
    {"DATASETS.MASK_FOLDERS": [["a"]]},
    {"DATALOADER.SAMPLER_TRAIN": "RepeatFactorTrainingSampler"},
    {"DATALOADER.SAMPLER_TRAIN": "RandomSubsetTrainingSampler"},
    {"DATALOADER.SAMPLER_TRAIN": "WeightedTrainingSampler"},
    {"INPUT.MIN_SIZE_TRAIN_SAMPLING": "range"},
    {"INPUT.MIN_SIZE_TEST": 0, "INPUT.MAX_SIZE_TEST": 0},
    {"INPUT.FORMAT": "L"},
    {"INPUT.FORMAT": "RGBA", "MODEL.PIXEL_MEAN": [1.0] * 4},
    {"INPUT.CROP.ENABLED": True, "INPUT.CROP.SIZE": [1.5, 0.0]},
    {"INPUT.CROP.ENABLED": True, "INPUT.CROP.TYPE": "absolute", "INPUT.CROP.SIZE": [0.5, 0.5]},
    {"INPUT.CLASSIFICATION.SCALE": [0.9, 0.1]},
    {"INPUT.CLASSIFICATION.COLOR_JITTER": [0.4, 0.4, 0.4, 0.9]},
    {"INPUT.CLASSIFICATION.RESIZE_TEST": 16},
    {"MODEL.EQL.FREQUENCY_THRESHOLDS": [10]},
    {"MODEL.EQL.FREQUENCY_THRESHOLDS": [100, 10]},
    {"MODEL.EQL.SEM_SEG.GROUP_THRESHOLDS": [0.1]},
    {"MODEL.EQL.PRIOR_PROB": "auto"},
    {"MODEL.EQL.PRIOR_PROB": 1.0},
    {"MODEL.EQL.EFL.ALPHA": 2.0, "MODEL.EQL.LOSS": "EFL"},
    {"MODEL.EQL.EQLV2.MU": _NAN, "MODEL.EQL.LOSS": "EQLv2"},
    *({"MODEL.EQL.LOSS": name} for name in ("EQL", "SEQL", "EQLv2", "EFL", "EQFL", "SoftmaxEQL")),
    *({"MODEL.EQL.LOSS": name} for name in ("SoftmaxCE", "SigmoidCE", "FocalLoss", "SeesawLoss")),
    {"MODEL.EQL.LOSS": "BalancedSoftmax"},
    *({"MODEL.EQL.LOSS": name} for name in ("ClassWeightedSoftmaxCE", "ECM")),
    {"MODEL.EQL.LOSS": "eqlv2"},
    {"MODEL.EQL.CALIBRATION.NAME": "NorCal"},
    *({"MODEL.EQL.CALIBRATION.NAME": name} for name in ("LogitAdjustment", "FRACAL")),
    {"MODEL.EQL.CALIBRATION.NAME": "Norcal"},
    {"MODEL.DEVICE": "cuda"},
    {"MODEL.DEVICE": "gpu"},
    {"MODEL.DEVICE": "meta"},
    {"MODEL.RESNETS.DEPTH": 51},
    {"MODEL.RESNETS.NORM": "SyncBN"},
    {"MODEL.RESNETS.NORM": "batch"},
    {"MODEL.RESNETS.OUT_FEATURES": ["res9"]},
    {"MODEL.FPN.IN_FEATURES": ["res2"]},
    {"MODEL.ANCHOR_GENERATOR.SIZES": []},
    {"MODEL.ANCHOR_GENERATOR.SIZES": [[], [], [], [], []]},
    {"MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS": [[0.0]]},
    {"MODEL.RPN.IOU_THRESHOLDS": [0.7, 0.3]},
    {"MODEL.RPN.BBOX_REG_LOSS_TYPE": "l2"},
    {"MODEL.ROI_HEADS.NAME": "EQLCascadeROIHeads"},
    {"MODEL.ROI_BOX_HEAD.USE_FED_LOSS": True},
    {"MODEL.META_ARCHITECTURE": "RetinaNet"},
    {"MODEL.META_ARCHITECTURE": "EQLImprovedBaseline"},
    {"MODEL.META_ARCHITECTURE": "PanopticFPN"},
    {"MODEL.KEYPOINT_ON": True},
    {"MODEL.LOAD_PROPOSALS": True},
    {"MODEL.PROPOSAL_GENERATOR.NAME": "PrecomputedProposals"},
    {"MODEL.MASK_ON": True, "INPUT.MASK_FORMAT": "bitmask"},
    {"TEST.AUG.ENABLED": True, "TEST.AUG.MIN_SIZES": []},
    {"TEST.PRECISE_BN.ENABLED": True, "TEST.PRECISE_BN.NUM_ITER": 0},
    {"TEST.DETECTIONS_PER_IMAGE": -1},
    {"TEST.EXPECTED_RESULTS": [["bbox", "AP"]]},
    {"OUTPUT_DIR": "/dev/null"},
    {"OUTPUT_DIR": "/dev/null/folder"},
    {"OUTPUT_DIR": ""},
    {"OUTPUT_DIR": "/proc/1/eql_d2"},
    {"SEED": 2**40},
    {"VERSION": 3},
    {"SOLVER.MAX_ITER": 0, "SOLVER.BASE_LR": -1.0, "SEED": 2**40},
)


def cases(seed: int) -> Iterator[tuple[str, Callable[[], None]]]:
    """All cases in an order that the seed chooses: (name, function that runs it)."""
    rng = random.Random(seed)
    hostile = [
        (task, {key: value})
        for task in TASKS
        for key, default in leaves(load_yaml(str(workspace() / f"{task}.yaml"), []))
        for value in _HOSTILE[type(default)]
    ]
    chosen = [(task, values) for values in _CHOSEN for task in TASKS]
    rng.shuffle(hostile)
    rng.shuffle(chosen)
    alternating = [case for pair in zip(chosen, hostile) for case in pair]
    for task, values in (*alternating, *hostile[len(chosen) :]):
        yield f"{task} {values}", functools.partial(_run, task, values)


def _run(task: str, values: dict[str, object]) -> None:
    content = {"_BASE_": f"{task}.yaml"}
    for key, value in values.items():
        *nodes, name = key.split(".")
        node = content
        for part in nodes:
            node = node.setdefault(part, {})
        node[name] = value
    path = workspace() / "case.yaml"
    path.write_text(yaml.safe_dump(content))
    run("--config-file", str(path))

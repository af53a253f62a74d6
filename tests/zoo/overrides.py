"""All that a run of the zoo sets differently from its config, and why. Nothing else is changed."""

from collections.abc import Iterator
from pathlib import Path

from detectron2.config import LazyConfig, get_cfg
from omegaconf import DictConfig, ListConfig, OmegaConf

from eql_d2 import add_eql_config
from tests.miniatures.weights import make_weights

STEPS = 2
# Of the four images of the miniatures. Where the schedule is in epochs a step is one of them: of a
# warm-up of one epoch there has to be an end.
_IMAGES = 4
_SIDE, _LONG_SIDE = 64, 96  # of detection and segmentation, pixels
_PROPOSALS = [100, 50]  # of an image, in training and at test
_DETECTIONS = 20  # of an image
_DENSE = {"test_topk_candidates": 100, "max_detections_per_image": _DETECTIONS}
_GPU_NORM, _NORM = "SyncBN", "BN"  # of processes on GPUs; the same in one process
_CROP, _RESIZE = 32, 36  # of classification

# Weights stay those that the config names, where ``miniatures/weights.py`` has the file; the others
# are those of transformers, which start well without.

# For every yaml config. Detectron2 ignores the keys of parts that a config does not have.
YAML = {
    "MODEL.DEVICE": "cpu",
    "SEED": 1,  # the same twice
    # Size of the input
    "INPUT.MIN_SIZE_TRAIN": (_SIDE,),
    "INPUT.MAX_SIZE_TRAIN": _LONG_SIDE,
    "INPUT.MIN_SIZE_TEST": _SIDE,
    "INPUT.MAX_SIZE_TEST": _LONG_SIDE,
    "INPUT.CROP.SIZE": [_SIDE, _SIDE],
    "INPUT.MOSAIC.SIZE": _SIDE,
    "INPUT.CLASSIFICATION.CROP_SIZE": _CROP,
    "INPUT.CLASSIFICATION.RESIZE_TEST": _RESIZE,
    # As suits few and small images
    "SOLVER.IMS_PER_BATCH": 2,
    "SOLVER.CONSTANT_ITERS": 0,  # longer than the two steps
    "MODEL.RPN.POST_NMS_TOPK_TRAIN": _PROPOSALS[0],
    "MODEL.RPN.POST_NMS_TOPK_TEST": _PROPOSALS[1],
    "MODEL.RETINANET.TOPK_CANDIDATES_TEST": _DENSE["test_topk_candidates"],
    # The mask head makes a mask of each class for each of them: 300 are 1 GB an image
    "TEST.DETECTIONS_PER_IMAGE": _DETECTIONS,
    # Starting workers takes longer than four images
    "DATALOADER.NUM_WORKERS": 0,
    # The ratio is logged within the two steps
    "MODEL.EQL.LOG_PERIOD": 1,
}

# For every LazyConfig
LAZY = {
    "train.device": "cpu",
    "train.seed": 1,
    "train.amp.enabled": False,  # needs a GPU in Detectron2
    "train.eql.log_period": 1,
    "dataloader.train.total_batch_size": 2,
    "dataloader.train.num_workers": 0,
    "dataloader.test.num_workers": 0,
}

# The same sizes and numbers in a LazyConfig, where it has them: arguments by the name of what is
# called
CALLS = {
    "ResizeShortestEdge": {"short_edge_length": _SIDE, "max_size": _LONG_SIDE},
    "RandomCrop_CategoryAreaConstraint": {"crop_size": [_SIDE, _SIDE]},
    "ResizeScale": {"target_height": _SIDE, "target_width": _SIDE},
    "FixedSizeCrop": {"crop_size": [_SIDE, _SIDE]},
    "RandomResizedCrop": {"size": _CROP},
    "Resize": {"size": _RESIZE},
    "CenterCrop": {"size": _CROP},
    # Backbones that pad to a square
    "FPN": {"square_pad": _LONG_SIDE},
    "SimpleFeaturePyramid": {"square_pad": _LONG_SIDE},
    "ViT": {"img_size": _LONG_SIDE},
    "RPN": {"post_nms_topk": _PROPOSALS},
    "EQLFastRCNNOutputLayers": {"test_topk_per_image": _DETECTIONS},
    "FastRCNNOutputLayers": {"test_topk_per_image": _DETECTIONS},
    "EQLRetinaNet": _DENSE,
    "EQLImprovedBaseline": _DENSE,
    "EQLYOLOXIP": _DENSE,
    "ResizeLongestEdge": {"lengths": [_LONG_SIDE]},
}


def arguments(config: Path, output_dir: Path, folder: Path) -> list[str]:
    """Those of ``train_net.py`` in a folder, for two steps and an evaluation; the weights that the
    config names are made there."""
    command = ["--config-file", str(config)]
    if config.suffix == ".py":
        lazy = LazyConfig.load(str(config))
        found = LAZY | {"train.output_dir": output_dir} | dict(_in_calls(lazy, ""))
        if lazy.train.get("epochs"):
            found |= {"train.epochs": STEPS, "dataloader.train.total_batch_size": _IMAGES}
        else:
            found |= {"train.max_iter": STEPS}
        if not make_weights(lazy.train.init_checkpoint, folder):
            found["train.init_checkpoint"] = ""
        return command + [f"{key}={value}" for key, value in found.items()]
    cfg = get_cfg()
    add_eql_config(cfg)
    cfg.merge_from_file(str(config), allow_unsafe=False)
    found = YAML | {"OUTPUT_DIR": output_dir}
    if cfg.SOLVER.EPOCHS:
        found |= {"SOLVER.EPOCHS": STEPS, "SOLVER.IMS_PER_BATCH": _IMAGES}
    else:
        found |= {"SOLVER.MAX_ITER": STEPS}
    if cfg.INPUT.LONGEST_EDGE_TRAIN:
        found["INPUT.LONGEST_EDGE_TRAIN"] = (_LONG_SIDE,)
    for node in ("RESNETS", "SEM_SEG_HEAD"):
        if cfg.MODEL[node].NORM == _GPU_NORM:
            found[f"MODEL.{node}.NORM"] = _NORM
    if not make_weights(cfg.MODEL.WEIGHTS, folder):
        found["MODEL.WEIGHTS"] = ""
    return command + [str(word) for item in found.items() for word in item]


def _in_calls(node: object, path: str) -> Iterator[tuple[str, object]]:
    """Keys and values of ``CALLS`` that are in a LazyConfig, or in a part of it at a path."""
    if isinstance(node, DictConfig):
        # What an interpolation names is found in its own place.
        items = [(key, node[key]) for key in node if not OmegaConf.is_interpolation(node, key)]
    elif isinstance(node, ListConfig):
        items = list(enumerate(node))
    else:
        return
    target = node.get("_target_") if isinstance(node, DictConfig) else None
    name = str(getattr(target, "__name__", target)).rsplit(".", 1)[-1]
    replaced = CALLS.get(name, {})
    for key, value in items:
        if key in replaced:
            yield f"{path}{key}", replaced[key]
        elif value == _GPU_NORM:
            yield f"{path}{key}", _NORM
        else:
            yield from _in_calls(value, f"{path}{key}.")

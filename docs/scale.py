"""Tables of docs/scale.md: what the recipes cost, from their configs alone.

    python docs/scale.py

Models are built on PyTorch's meta device, where tensors have shapes but no values, so a network of
any size is counted in seconds. What depends on values (proposals, suppression, RoIAlign, targets)
is left out: box and mask heads get as many boxes as the config allows.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.modeling import META_ARCH_REGISTRY
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from eql_d2 import add_eql_config
from eql_d2.losses import ClassificationLoss

CONFIGS = Path(__file__).parents[1] / "configs"
EXPERIMENTS = (
    "LVISv1-InstanceSegmentation/mask_rcnn_R_50_FPN_1x_eqlv2",
    "LVISv1-InstanceSegmentation/mask_rcnn_R_101_FPN_1x_eqlv2",
    "LVISv1-InstanceSegmentation/cascade_mask_rcnn_R_50_FPN_1x_eqlv2",
    "OpenImages-Detection/faster_rcnn_R_50_FPN_180k_eqlv2",
    "LVISv1-Detection/retinanet_R_50_FPN_1x_efl",
    "LVISv1-Detection/improved_baseline_R_50_FPN_2x_efl",
    "ImageNetLT-Classification/R_50_90e_softmax_eql",
    "iNaturalist18-Classification/R_50_90e_softmax_eql",
    "ADE20K-Segmentation/semantic_fpn_R_50_160k_softmax_eql",
)
DETECTION_SIZE = (800, 1344)  # 3:4 at the shorter side of 800 pixels, a multiple of 32
NUM_GPUS = 8
# FLOP/s that a GPU sustains, for the GPU-hours. Detectron2's MODEL_ZOO.md has Faster R-CNN R50-FPN
# at 0.210 s an iteration of 16 images on 8 V100 of 2019: 11 TFLOP/s by the count below.
SUSTAINED = 10e12
# Images of an epoch, for schedules in epochs: without repetitions
NUM_IMAGES = {"lvis_v1_train": 100_170}
# Peak extra memory of loss and gradient in sizes of the logits, as measured: this project, and the
# literal formulas of the papers (docs/benchmarks.md)
PEAK = {"EQLv2": (2.1, 6.0), "EFL": (1.22, 13.33), "SoftmaxEQL": (1.05, 5.04)}


class Boxes(NamedTuple):
    """Boxes of an image that box heads and mask heads see."""

    box: int
    mask: int


class _ValuesOnCPU(TorchFunctionMode):
    """Anchors and means, which have values, stay off the meta device."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        place = {"device": "cpu"} if func is torch.tensor else {}
        return func(*args, **{**(kwargs or {}), **place})


def load(experiment: str) -> CfgNode:
    cfg = get_cfg()
    add_eql_config(cfg)
    cfg.merge_from_file(str(CONFIGS / f"{experiment}.yaml"))
    return cfg


def build(cfg: CfgNode) -> nn.Module:
    with torch.device("meta"), _ValuesOnCPU():
        return META_ARCH_REGISTRY.get(cfg.MODEL.META_ARCHITECTURE)(cfg)


def image_size(cfg: CfgNode) -> tuple[int, int]:
    """Height and width of the input."""
    if cfg.MODEL.META_ARCHITECTURE == "ImageClassifier":
        return (cfg.INPUT.CLASSIFICATION.CROP_SIZE,) * 2
    if cfg.MODEL.META_ARCHITECTURE == "SemanticSegmentor":
        return tuple(cfg.INPUT.CROP.SIZE)
    return DETECTION_SIZE


def boxes_in_training(cfg: CfgNode) -> Boxes:
    sampled = cfg.MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE
    return Boxes(sampled, int(sampled * cfg.MODEL.ROI_HEADS.POSITIVE_FRACTION))


def boxes_at_test(cfg: CfgNode) -> Boxes:
    return Boxes(cfg.MODEL.RPN.POST_NMS_TOPK_TEST, cfg.TEST.DETECTIONS_PER_IMAGE)


def outputs(model: nn.Module, size: tuple[int, int], boxes: Boxes) -> Iterator[Tensor]:
    """What the layers of a model make of an image: all that has parameters is called."""
    device = next(model.parameters()).device
    features = model.backbone(torch.zeros(1, 3, *size, device=device))
    name = type(model).__name__
    if name == "ImageClassifier":
        yield model.classifier(features[model.in_feature].mean(dim=(2, 3)))
    elif name == "SemanticSegmentor":
        yield model.sem_seg_head.layers(features)
    elif name == "GeneralizedRCNN":
        rpn, heads = model.proposal_generator, model.roi_heads
        yield from _flat(rpn.rpn_head([features[level] for level in rpn.in_features]))
        first = features[heads.box_in_features[0]]
        for box_head, predictor in zip(_stages(heads.box_head), _stages(heads.box_predictor)):
            pooled = _pooled(heads.box_pooler, boxes.box, first)
            yield from predictor(box_head(pooled))
        if heads.mask_on:
            yield heads.mask_head.layers(_pooled(heads.mask_pooler, boxes.mask, first))
    else:
        yield from _flat(model.head([features[level] for level in model.head_in_features]))


def count(run: Callable[[], object]) -> int:
    """FLOPs of convolutions and matrix products, 2 for a multiplication and an addition."""
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


def forward_flops(model: nn.Module, size: tuple[int, int], boxes: Boxes) -> int:
    """FLOPs of an image at test."""
    with torch.no_grad():
        return count(lambda: list(outputs(model, size, boxes)))


def training_flops(model: nn.Module, size: tuple[int, int], boxes: Boxes) -> int:
    """FLOPs of an image in training: forward, and backward but for frozen layers."""
    model.train()
    return count(lambda: sum(out.sum() for out in outputs(model, size, boxes)).backward())


def num_logits(model: nn.Module, size: tuple[int, int], boxes: Boxes) -> int:
    """Class logits that the losses see of an image in training."""
    losses = [m for m in model.modules() if isinstance(m, ClassificationLoss)]
    num_classes, name = losses[0].num_classes, type(model).__name__
    if name == "GeneralizedRCNN":
        return len(losses) * boxes.box * (num_classes + 1)
    if name == "ImageClassifier":
        return num_classes
    if name == "SemanticSegmentor":  # upsampled to the size of the image
        return num_classes * size[0] * size[1]
    with torch.no_grad():
        features = model.backbone(torch.zeros(1, 3, *size, device="meta"))
        maps = model.head([features[level] for level in model.head_in_features])[0]
    return sum(level.numel() for level in maps)


def statistics_bytes(model: nn.Module) -> int:
    """Bytes that each process gives to all_reduce in a step: float64 of (2, C) for each loss."""
    return sum(
        2 * module.num_classes * 8
        for module in model.modules()
        if isinstance(module, ClassificationLoss) and module.statistics is not None
    )


def num_images(cfg: CfgNode) -> int:
    """Images of the whole schedule."""
    if cfg.SOLVER.EPOCHS:
        return cfg.SOLVER.EPOCHS * NUM_IMAGES[cfg.DATASETS.TRAIN[0]]
    return cfg.SOLVER.MAX_ITER * cfg.SOLVER.IMS_PER_BATCH


def row(experiment: str) -> str:
    cfg = load(experiment)
    model, size, in_training = build(cfg), image_size(cfg), boxes_in_training(cfg)
    flops, images = training_flops(model, size, in_training), num_images(cfg)
    per_gpu = cfg.SOLVER.IMS_PER_BATCH // NUM_GPUS
    logits = 4 * per_gpu * num_logits(model, size, in_training) / 1e6
    peaks = (logits * factor for factor in PEAK[cfg.MODEL.EQL.LOSS])
    ours, literal = (f"{peak:,.{int(peak < 10)}f}" for peak in peaks)
    cells = (
        f"[{experiment.split('-')[0]}, {Path(experiment).name}](../configs/{experiment}.yaml)",
        f"{sum(p.numel() for p in model.parameters()) / 1e6:.1f}",
        f"{forward_flops(model, size, boxes_at_test(cfg)) / 1e9:,.0f}",
        f"{flops / 1e9:,.0f}",
        f"{ours} / {literal}",
        f"{statistics_bytes(model):,}",
        f"{images / 1e6:.2f}",
        f"{images * flops / SUSTAINED / 3600:,.0f}",
    )
    return f"| {' | '.join(cells)} |"


HEADER = """\
| recipe | parameters, M | image at test, GFLOP | in training, GFLOP | loss, MB: ours / literal | \
all_reduce, bytes | images, M | GPU-hours |
|---|---|---|---|---|---|---|---|"""


def _flat(nested: object) -> Iterator[Tensor]:
    if isinstance(nested, Tensor):
        yield nested
    else:
        for item in nested:
            yield from _flat(item)


def _stages(module: nn.Module) -> list[nn.Module]:
    """The heads of a cascade, or the one head."""
    return list(module) if isinstance(module, nn.ModuleList) else [module]


def _pooled(pooler: nn.Module, num_boxes: int, features: Tensor) -> Tensor:
    shape = (num_boxes, features.shape[1], *pooler.output_size)
    return features.new_zeros(shape).requires_grad_(torch.is_grad_enabled())


if __name__ == "__main__":
    print(HEADER)
    for name in EXPERIMENTS:
        print(row(name), flush=True)

"""Shapes of all tensors of the models that foreign files are converted for, by our names."""

from ...exceptions import InputError

Shape = tuple[int, ...]
Shapes = dict[str, Shape]

# Blocks of each stage, by depth
RESNET_BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
_CHANNELS = 256


def depth_of_resnet(num_blocks: int) -> int:
    """Depth of the ResNet whose third stage has so many blocks.

    Raises:
        InputError: there is none with bottleneck blocks.
    """
    for depth, blocks in RESNET_BLOCKS.items():
        if blocks[2] == num_blocks:
            return depth
    raise InputError(
        f"third stage of the file's backbone has {num_blocks} blocks: only ResNet-50, 101 and 152 "
        "can be converted"
    )


def mask_rcnn(depth: int, num_classes: int, mask_on: bool) -> Shapes:
    """Mask R-CNN (or Faster R-CNN) with FPN: class-specific boxes and masks, C + 1 columns."""
    rpn, box = "proposal_generator.rpn_head", "roi_heads.box_predictor"
    shapes = {
        **_resnet(depth),
        **_fpn(range(2, 6)),
        **_conv(f"{rpn}.conv", _CHANNELS, _CHANNELS, 3),
        **_conv(f"{rpn}.objectness_logits", 3, _CHANNELS, 1),
        **_conv(f"{rpn}.anchor_deltas", 3 * 4, _CHANNELS, 1),
        **_linear("roi_heads.box_head.fc1", 1024, _CHANNELS * 7 * 7),
        **_linear("roi_heads.box_head.fc2", 1024, 1024),
        **_linear(f"{box}.cls_score", num_classes + 1, 1024),
        **_linear(f"{box}.bbox_pred", num_classes * 4, 1024),
    }
    if mask_on:
        mask = "roi_heads.mask_head"
        for i in range(1, 5):
            shapes |= _conv(f"{mask}.mask_fcn{i}", _CHANNELS, _CHANNELS, 3)
        shapes |= _conv(f"{mask}.deconv", _CHANNELS, _CHANNELS, 2)
        shapes |= _conv(f"{mask}.predictor", num_classes, _CHANNELS, 1)
    return shapes


def retinanet(depth: int, num_classes: int, num_anchors: int) -> Shapes:
    """RetinaNet: P6 from res5, two branches of four convolutions."""
    shapes = {
        **_resnet(depth),
        **_fpn(range(3, 6)),
        **_top_block(2048),
        **_conv("head.cls_score", num_anchors * num_classes, _CHANNELS, 3),
        **_conv("head.bbox_pred", num_anchors * 4, _CHANNELS, 3),
    }
    for i in range(4):
        for branch in ("cls_subnet", "bbox_subnet"):
            # The activations have the odd places.
            shapes |= _conv(f"head.{branch}.{2 * i}", _CHANNELS, _CHANNELS, 3)
    return shapes


def improved_baseline(depth: int, num_classes: int, num_anchors: int) -> Shapes:
    """The improved baseline of EFL: P6 from the lateral of C5, branches with a norm, an IoU."""
    shapes = {
        **_resnet(depth),
        **_fpn(range(3, 6)),
        **_top_block(_CHANNELS),
        **_conv("head.cls_score", num_anchors * num_classes, _CHANNELS, 3),
        **_conv("head.bbox_pred", num_anchors * 4, _CHANNELS, 3),
        **_conv("head.iou_pred", num_anchors, _CHANNELS, 3),
    }
    for i in range(4):
        for branch in ("cls_subnet", "bbox_subnet"):
            layer = f"head.{branch}.{i}"
            shapes[f"{layer}.weight"] = (_CHANNELS, _CHANNELS, 3, 3)
            shapes[f"{layer}.norm.weight"] = shapes[f"{layer}.norm.bias"] = (_CHANNELS,)
    return shapes


def _resnet(depth: int) -> Shapes:
    prefix = "backbone.bottom_up"
    shapes = _conv_and_norm(f"{prefix}.stem.conv1", 64, 3, 7)
    before = 64
    for stage, blocks in enumerate(RESNET_BLOCKS[depth]):
        inner, after = 64 * 2**stage, 256 * 2**stage
        for i in range(blocks):
            block = f"{prefix}.res{stage + 2}.{i}"
            if i == 0:
                shapes |= _conv_and_norm(f"{block}.shortcut", after, before, 1)
            shapes |= _conv_and_norm(f"{block}.conv1", inner, before, 1)
            shapes |= _conv_and_norm(f"{block}.conv2", inner, inner, 3)
            shapes |= _conv_and_norm(f"{block}.conv3", after, inner, 1)
            before = after
    return shapes


def _fpn(levels: range) -> Shapes:
    shapes = {}
    for level in levels:
        shapes |= _conv(f"backbone.fpn_lateral{level}", _CHANNELS, 64 * 2**level, 1)
        shapes |= _conv(f"backbone.fpn_output{level}", _CHANNELS, _CHANNELS, 3)
    return shapes


def _top_block(channels: int) -> Shapes:
    return {
        **_conv("backbone.top_block.p6", _CHANNELS, channels, 3),
        **_conv("backbone.top_block.p7", _CHANNELS, _CHANNELS, 3),
    }


def _conv_and_norm(layer: str, after: int, before: int, size: int) -> Shapes:
    kinds = ("weight", "bias", "running_mean", "running_var")
    return {
        f"{layer}.weight": (after, before, size, size),
        **{f"{layer}.norm.{kind}": (after,) for kind in kinds},
    }


def _conv(layer: str, after: int, before: int, size: int) -> Shapes:
    return {f"{layer}.weight": (after, before, size, size), f"{layer}.bias": (after,)}


def _linear(layer: str, after: int, before: int) -> Shapes:
    return {f"{layer}.weight": (after, before), f"{layer}.bias": (after,)}

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


def yolox_ip(num_bottlenecks: int, channels: int, num_classes: int, num_anchors: int) -> Shapes:
    """YOLOX-IP: the network of YOLOX and a head of three levels, which has anchors."""
    shapes, inner = yolox_pafpn(num_bottlenecks, channels), 4 * channels
    for level in range(3):
        shapes |= _yolox_conv(f"head.stems.{level}", inner, 2**level * inner, 1)
        for branch in ("cls_convs", "reg_convs"):
            for i in range(2):
                shapes |= _yolox_conv(f"head.{branch}.{level}.{i}", inner, inner, 3)
        shapes |= _conv(f"head.cls_preds.{level}", num_anchors * num_classes, inner, 1)
        shapes |= _conv(f"head.reg_preds.{level}", num_anchors * 4, inner, 1)
        shapes |= _conv(f"head.obj_preds.{level}", num_anchors, inner, 1)
    return shapes


def yolox_pafpn(num_bottlenecks: int, channels: int) -> Shapes:
    """CSPDarknet and path aggregation network of YOLOX.

    Args:
        num_bottlenecks: of the layers of the network but those of the strides 8 and 16, which have
            three times as many; 1 in YOLOX-S.
        channels: of the stem, 32 in YOLOX-S.
    """
    bottom_up, few = "backbone.backbone", num_bottlenecks
    shapes = _yolox_conv(f"{bottom_up}.stem.conv", channels, 12, 3)
    for stage, number in ((2, few), (3, 3 * few), (4, 3 * few), (5, few)):
        before, after = channels * 2 ** (stage - 2), channels * 2 ** (stage - 1)
        shapes |= _yolox_conv(f"{bottom_up}.dark{stage}.0", after, before, 3)
        # The last has spatial pyramid pooling before it.
        place = 2 if stage == 5 else 1
        shapes |= _csp_layer(f"{bottom_up}.dark{stage}.{place}", after, after, number)
    c3, c4, c5 = 4 * channels, 8 * channels, 16 * channels
    return {
        **shapes,
        **_yolox_conv(f"{bottom_up}.dark5.1.conv1", c5 // 2, c5, 1),
        **_yolox_conv(f"{bottom_up}.dark5.1.conv2", c5, 4 * (c5 // 2), 1),
        **_yolox_conv("backbone.lateral_conv0", c4, c5, 1),
        **_csp_layer("backbone.C3_p4", c4, 2 * c4, few),
        **_yolox_conv("backbone.reduce_conv1", c3, c4, 1),
        **_csp_layer("backbone.C3_p3", c3, 2 * c3, few),
        **_yolox_conv("backbone.bu_conv2", c3, c3, 3),
        **_csp_layer("backbone.C3_n3", c4, 2 * c3, few),
        **_yolox_conv("backbone.bu_conv1", c4, c4, 3),
        **_csp_layer("backbone.C3_n4", c5, 2 * c4, few),
    }


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


def _csp_layer(layer: str, after: int, before: int, num_bottlenecks: int) -> Shapes:
    half = after // 2
    shapes = {
        **_yolox_conv(f"{layer}.conv1", half, before, 1),
        **_yolox_conv(f"{layer}.conv2", half, before, 1),
        **_yolox_conv(f"{layer}.conv3", after, 2 * half, 1),
    }
    for i in range(num_bottlenecks):
        shapes |= _yolox_conv(f"{layer}.m.{i}.conv1", half, half, 1)
        shapes |= _yolox_conv(f"{layer}.m.{i}.conv2", half, half, 3)
    return shapes


def _yolox_conv(layer: str, after: int, before: int, size: int) -> Shapes:
    kinds = ("weight", "bias", "running_mean", "running_var")
    return {
        f"{layer}.conv.weight": (after, before, size, size),
        **{f"{layer}.bn.{kind}": (after,) for kind in kinds},
        f"{layer}.bn.num_batches_tracked": (),
    }


def _conv(layer: str, after: int, before: int, size: int) -> Shapes:
    return {f"{layer}.weight": (after, before, size, size), f"{layer}.bias": (after,)}


def _linear(layer: str, after: int, before: int) -> Shapes:
    return {f"{layer}.weight": (after, before), f"{layer}.bias": (after,)}

"""Assigner and head of the improved one-stage baseline (ATSS, arXiv 1912.02424)."""

from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.layers import Conv2d, ShapeSpec, get_norm
from detectron2.modeling.anchor_generator import build_anchor_generator
from detectron2.structures import Boxes
from torch import Tensor, nn

from ..exceptions import InputError


class ATSSAssigner:
    """Adaptive training sample selection, as in the official EFL code.

    For each object the anchors nearest to its centre, some on each level, are candidates. Mean plus
    standard deviation of their IoUs is the threshold of this object. A candidate is positive if it
    reaches the threshold and has its centre inside the object. All other anchors are background,
    none is ignored. Objects not wider and higher than one pixel are left out.

    Nothing depends on the device or on sorting: of equally distant anchors the first ones are
    candidates; an anchor that several objects claim goes to the one of highest IoU and, if they
    are equal, to the first. All is computed in float64.

    Args:
        num_candidates: candidates of an object on each level, fewer where a level has fewer
            anchors. The default is 9 for each of two anchors at a location.

    Raises:
        InputError: ``num_candidates`` is not positive.
    """

    def __init__(self, num_candidates: int = 18):
        if num_candidates < 1:
            raise InputError(
                f"num_candidates of ATSSAssigner is {num_candidates}: give at least 1, for example "
                "9 for each anchor of a location"
            )
        self.num_candidates = num_candidates

    @torch.no_grad()
    def __call__(
        self, anchors: list[Boxes], gt_boxes: Boxes, image_size: tuple[int, int]
    ) -> Tensor:
        """Match the anchors with the objects of one image.

        Args:
            anchors: of each level, in pixels.
            gt_boxes: G objects.
            image_size: height and width of the image without padding.

        Returns:
            Index of the object of each anchor, -1 for background, int64 (R,), levels one after the
            other.
        """
        levels = [level.tensor.double() for level in anchors]
        all_anchors = torch.cat(levels)
        num_anchors, nobody = len(all_anchors), len(gt_boxes)
        objects = torch.arange(nobody, device=all_anchors.device)[:, None]
        if nobody == 0:
            return objects.new_full((num_anchors,), -1)
        # A box that is not finite fails the comparison and is left out too. Masks, not indices, so
        # that a GPU is not waited for.
        size = gt_boxes.tensor[:, 2:] - gt_boxes.tensor[:, :2]
        takes_part = (size > 1).all(dim=1, keepdim=True) & size.isfinite().all(dim=1, keepdim=True)
        boxes = gt_boxes.tensor.double().where(takes_part, 0)
        candidates = self._candidates(levels, boxes, image_size)

        boxes = boxes[:, None].expand(-1, candidates.shape[1], -1)  # (G, candidates, 4)
        iou = _paired_iou(all_anchors[candidates].flatten(0, 1), boxes.flatten(0, 1))
        iou = iou.view(candidates.shape)
        threshold = iou.mean(dim=1, keepdim=True) + iou.std(dim=1, keepdim=True)
        centers = _centers(all_anchors)[candidates]
        margin = torch.cat([centers - boxes[..., :2], boxes[..., 2:] - centers], dim=-1)
        # The rounding of the mean must not fail candidates that all have the same IoU.
        positive = (iou >= threshold - 1e-12) & (margin.amin(dim=-1) > 0.01) & takes_part

        claim = iou.masked_fill(~positive, -1).flatten()
        anchor = candidates.flatten()
        best = claim.new_zeros(num_anchors).scatter_reduce(0, anchor, claim, "amax")
        claimant = objects.where(positive, nobody).flatten()
        claimant = claimant.where(claim == best[anchor], nobody)
        matched = anchor.new_full((num_anchors,), nobody)
        matched = matched.scatter_reduce(0, anchor, claimant, "amin")
        return matched.masked_fill(matched == nobody, -1)

    def _candidates(
        self, levels: list[Tensor], boxes: Tensor, image_size: tuple[int, int]
    ) -> Tensor:
        """Indices of the candidates among all anchors, (G, sum over the levels)."""
        height, width = image_size
        centers = _centers(boxes)
        x, y = centers[:, :1].clamp(0, width), centers[:, 1:].clamp(0, height)
        candidates, first = [], 0
        for level in levels:
            anchor_centers = _centers(level)
            dx, dy = anchor_centers[:, 0] - x, anchor_centers[:, 1] - y  # (G, anchors of the level)
            nearest = _smallest(dx * dx + dy * dy, min(self.num_candidates, len(level)))
            candidates.append(nearest + first)
            first += len(level)
        return torch.cat(candidates, dim=1)


def _centers(boxes: Tensor) -> Tensor:
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def _paired_iou(boxes: Tensor, other: Tensor) -> Tensor:
    """IoU of each row of ``boxes`` (n, 4) with the same row of ``other``; ``Boxes`` is float32."""
    low, high = torch.max(boxes[:, :2], other[:, :2]), torch.min(boxes[:, 2:], other[:, 2:])
    intersection = (high - low).clamp(min=0).prod(dim=1)
    area, other_area = ((x[:, 2:] - x[:, :2]).prod(dim=1) for x in (boxes, other))
    return intersection / (area + other_area - intersection)


def _smallest(values: Tensor, count: int) -> Tensor:
    """Columns of the ``count`` smallest values of each row; the first ones of equal values.

    ``topk`` alone leaves open which of equal values it takes, and there are many: all anchors of a
    location have the same centre.
    """
    last = values.topk(count, dim=1, largest=False).values[:, -1:]
    below, equal = values < last, values == last
    left = count - below.sum(dim=1, keepdim=True)
    chosen = below | (equal & (equal.cumsum(dim=1, dtype=torch.int32) <= left))
    # nonzero() would make the host wait for a GPU: the others all go to one place more.
    place = (chosen.cumsum(dim=1) - 1).masked_fill(~chosen, count)
    columns = torch.arange(values.shape[1], device=values.device).expand_as(place)
    return columns.new_empty(len(values), count + 1).scatter(1, place, columns)[:, :count]


class ATSSHead(nn.Module):
    """Head with two branches, as that of RetinaNet, and an estimate of the box's IoU.

    All levels share it; there is no scale for each level. The bias of the classification is set by
    the meta architecture, from the prior of the loss.

    Args:
        input_shape: shapes of the features; all have the same number of channels.
        num_classes: C.
        num_anchors: A, anchors at each location.
        conv_dims: channels of each convolution of a branch.
        norm: normalisation of these, see :func:`detectron2.layers.get_norm`. They have a bias only
            without it, as in the official code.
    """

    @configurable
    def __init__(
        self,
        *,
        input_shape: list[ShapeSpec],
        num_classes: int,
        num_anchors: int,
        conv_dims: list[int],
        norm: str = "GN",
    ):
        super().__init__()
        channels = [input_shape[0].channels, *conv_dims]
        self.cls_subnet = _branch(channels, norm)
        self.bbox_subnet = _branch(channels, norm)
        self.cls_score = nn.Conv2d(channels[-1], num_anchors * num_classes, 3, padding=1)
        self.bbox_pred = nn.Conv2d(channels[-1], num_anchors * 4, 3, padding=1)
        self.iou_pred = nn.Conv2d(channels[-1], num_anchors, 3, padding=1)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.normal_(layer.weight, std=0.01)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    @classmethod
    def from_config(cls, cfg, input_shape):
        return {
            **head_arguments(cfg, input_shape),
            "conv_dims": [input_shape[0].channels] * cfg.MODEL.RETINANET.NUM_CONVS,
            "norm": cfg.MODEL.RETINANET.NORM,
        }

    def forward(self, features: list[Tensor]) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """Predict from the features of each level.

        Returns:
            For each level the logits of the classes (N, A * C, H, W), the box deltas
            (N, A * 4, H, W) and the logit of the IoU (N, A, H, W).
        """
        logits: list[Tensor] = []
        deltas: list[Tensor] = []
        ious: list[Tensor] = []
        for feature in features:
            logits.append(self.cls_score(self.cls_subnet(feature)))
            box_feature = self.bbox_subnet(feature)
            deltas.append(self.bbox_pred(box_feature))
            ious.append(self.iou_pred(box_feature))
        return logits, deltas, ious


def head_arguments(cfg: CfgNode, input_shape: list[ShapeSpec]) -> dict[str, Any]:
    """What each head of a dense detector is told by a config: shapes, classes and anchors."""
    return {
        "input_shape": input_shape,
        "num_classes": cfg.MODEL.RETINANET.NUM_CLASSES,
        # RetinaNet, which builds its own head first, refuses levels with different numbers.
        "num_anchors": build_anchor_generator(cfg, input_shape).num_cell_anchors[0],
    }


def _branch(channels: list[int], norm: str) -> nn.Sequential:
    return nn.Sequential(
        *(
            Conv2d(
                before,
                after,
                kernel_size=3,
                padding=1,
                bias=not norm,
                norm=get_norm(norm, after),
                activation=nn.ReLU(),
            )
            for before, after in zip(channels[:-1], channels[1:])
        )
    )

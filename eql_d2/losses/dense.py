"""The contract of losses for dense heads."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..exceptions import InputError
from .base import ClassificationLoss, in_float32
from .functional.planes import as_planes

# The logits of a dense head, level by level
Maps = Tensor | Sequence[Tensor]


class DenseLoss(ClassificationLoss):
    """Contract of a loss for dense heads, which have no background column.

    Besides rows and single maps of C columns, such a loss takes a head's own maps, level by level,
    without a copy: a list of (N, A * C, H, W), channel a * C + c, with targets (N, sum of H W A),
    levels one after the other and positions in the order H, W, A, as Detectron2's anchors.
    """

    default_prior = 0.001  # of the official code

    def __init__(self, num_classes: int, prior_prob: float | None):
        super().__init__(num_classes, num_logits=num_classes, prior_prob=prior_prob)

    def scores(self, logits: Tensor) -> Tensor:
        return in_float32(logits).sigmoid()

    @torch.jit.unused
    def _default_normalizer(self, targets: Tensor) -> Tensor:
        """Number of foreground labels, at least 1."""
        return ((targets >= 0) & (targets < self.num_classes)).sum().clamp(min=1)

    @torch.jit.unused
    def _check_targets(self, targets: Tensor, largest: int) -> None:
        # The background needs no column.
        super()._check_targets(targets, self.num_classes)

    @torch.jit.unused
    def _planes(self, logits: Maps, per_anchor: Tensor | None):
        """Logits as (P, C, S), and what is given for each anchor as (P, S)."""
        if isinstance(logits, Tensor):
            self._check_shapes(logits, per_anchor)
            planes, values = as_planes(logits, per_anchor)
            return [planes], [values]
        self._check_targets(per_anchor, self.num_classes)
        planes, values, first = [], [], 0
        for level in logits:
            num_images, channels, height, width = level.shape
            if channels % self.num_classes:
                raise InputError(
                    f"{type(self).__name__} got a map of {channels} channels: it must have "
                    f"{self.num_classes} for each anchor of a position"
                )
            num_anchors = channels // self.num_classes
            size = height * width * num_anchors
            value = per_anchor[:, first : first + size].view(num_images, -1, num_anchors)
            planes.append(level.reshape(num_images * num_anchors, self.num_classes, height * width))
            values.append(value.transpose(1, 2).reshape(num_images * num_anchors, -1))
            first += size
        if per_anchor.shape[1] != first:
            raise InputError(
                f"{type(self).__name__} got targets of shape {tuple(per_anchor.shape)} for maps "
                f"with {first} anchors an image"
            )
        return planes, values

"""The contract of losses for dense heads."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..exceptions import InputError
from .arguments import in_float32
from .base import ClassificationLoss
from .functional.checks import dtype_problem, row_weight_problem
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

    def _is_normal(self, targets: Tensor) -> Tensor:
        """The foreground."""
        return (targets >= 0) & (targets < self.num_classes)

    @torch.jit.unused
    def _check_targets(self, targets: Tensor, largest: int) -> None:
        # The background needs no column.
        super()._check_targets(targets, self.num_classes)

    @torch.jit.unused
    def _check_shapes(
        self, logits: Maps, targets: Tensor, row_weight: Tensor | None = None
    ) -> None:
        if isinstance(logits, Tensor):
            super()._check_shapes(logits, targets, row_weight)
            return
        num_images, num_anchors = targets.shape[:1].numel(), 0
        for level in logits:
            shape, c = level.shape, self.num_classes
            if len(shape) != 4 or shape[0] != num_images or shape[1] % c:
                raise InputError(
                    f"{type(self).__name__} got a map of shape {tuple(shape)} and targets of shape "
                    f"{tuple(targets.shape)}: give maps of ({num_images}, A * {c}, H, W)"
                )
            self._refuse(dtype_problem(level, targets))
            num_anchors += shape[1] // c * shape[2] * shape[3]
        if targets.shape != (num_images, num_anchors):
            raise InputError(
                f"{type(self).__name__} got targets of shape {tuple(targets.shape)} for maps with "
                f"{num_anchors} anchors an image: give ({num_images}, {num_anchors})"
            )
        self._refuse(row_weight_problem(row_weight, targets.shape))
        self._check_targets(targets, self.num_classes)

    @torch.jit.unused
    def _planes(self, logits: Maps, per_anchor: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Logits as (P, C, S), and what is given for each anchor as (P, S)."""
        if isinstance(logits, Tensor):
            planes, values = as_planes(logits, per_anchor)
            return [planes], [values]
        planes, values, first = [], [], 0
        for level in logits:
            num_images, channels, height, width = level.shape
            num_anchors = channels // self.num_classes
            size = height * width * num_anchors
            value = per_anchor[:, first : first + size].view(num_images, -1, num_anchors)
            planes.append(level.reshape(num_images * num_anchors, self.num_classes, height * width))
            values.append(value.transpose(1, 2).reshape(num_images * num_anchors, -1))
            first += size
        return planes, values

"""The contract between a head and a classification loss."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..exceptions import InputError
from .gradient_statistics import GradientStatistics


class ClassificationLoss(nn.Module):
    """A classification loss that also owns what follows from it: columns, prior and scores.

    A head asks the loss how many logits to produce, with which bias to begin, how to train them
    and how to turn them into class probabilities, so that training and test cannot disagree.

    Targets are int64 of shape (R,): 0..C-1 foreground, C background, -1 ignored.

    Attributes:
        num_classes: number C of foreground classes.
        num_logits: columns that the head must produce.
        prior_prob: probability that every class starts with through the head's bias; None for a
            zero bias.
        statistics: accumulated gradients of each class, None where the loss needs none.
    """

    def __init__(self, num_classes: int, num_logits: int, prior_prob: float | None = None):
        super().__init__()
        if num_classes < 1:
            raise InputError(f"num_classes is {num_classes}: a loss needs at least one class")
        if prior_prob is not None and not 0 < prior_prob < 1:
            raise InputError(
                f"prior_prob is {prior_prob}: give a probability between 0 and 1, for example 0.001"
            )
        self.num_classes = num_classes
        self.num_logits = num_logits
        self.prior_prob = prior_prob
        self.statistics: GradientStatistics | None = None

    def forward(
        self, logits: Tensor, targets: Tensor, *, normalizer: float | None = None
    ) -> Tensor:
        """Compute the loss and, in training, accumulate its statistics.

        Args:
            logits: (R, num_logits), any floating dtype; computed in float32 (or float64).
            targets: int64 (R,).
            normalizer: positive number that divides the summed loss; the number of rows that are
                not ignored if None.

        Returns:
            The scalar loss; zero, with zero gradient, for an empty batch.
        """
        raise NotImplementedError

    def scores(self, logits: Tensor) -> Tensor:
        """Turn logits (R, num_logits) into the probabilities (R, C) of the foreground classes."""
        raise NotImplementedError

    @torch.jit.unused
    def _check_shapes(self, logits: Tensor, targets: Tensor) -> None:
        if logits.dim() != 2 or logits.shape[1] != self.num_logits:
            raise InputError(
                f"{type(self).__name__} got logits of shape {tuple(logits.shape)}: for "
                f"{self.num_classes} classes the head must produce (R, {self.num_logits})"
            )
        if targets.shape != logits.shape[:1]:
            raise InputError(
                f"{type(self).__name__} got targets of shape {tuple(targets.shape)} for logits of "
                f"shape {tuple(logits.shape)}: give one label for each row"
            )


class DenseLoss(ClassificationLoss):
    """Contract of a loss for dense heads, which have no background column.

    Besides rows (R, C) with targets (R,), such a loss takes a head's own maps, level by level,
    without a copy: a list of (N, A * C, H, W), channel a * C + c, with targets (N, sum of H W A),
    levels one after the other and positions in the order H, W, A, as Detectron2's anchors.

    Attributes:
        uses_quality: whether ``forward`` needs the argument ``quality``.
    """

    uses_quality = False

    def __init__(self, num_classes: int, prior_prob: float | None):
        super().__init__(num_classes, num_logits=num_classes, prior_prob=prior_prob)

    def scores(self, logits: Tensor) -> Tensor:
        return logits.sigmoid()

    @torch.jit.unused
    def _planes(self, logits: Tensor | Sequence[Tensor], per_anchor: Tensor | None):
        """Logits as (P, C, S), and what is given for each anchor as (P, S)."""
        if isinstance(logits, Tensor):
            self._check_shapes(logits, per_anchor)
            return [logits[:, :, None]], [per_anchor[:, None]]
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


def without_ignored(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Drop the rows whose target is negative; the inputs themselves where there is none."""
    valid = targets >= 0
    if valid.all():
        return logits, targets
    return logits[valid], targets[valid]

"""The regime in which an equalized focal loss begins, and the prior that makes it a good one.

With p at the prior everywhere, a class begins with a gradient ratio that follows from the prior,
the focusing factor and the share of its positive anchors: ``losses/functional/initial_ratio.py``. A
class that begins far above 1 is taken for one in balance, however rare it is: where few anchors
share few images, the prior of LVIS, 0.001, puts all classes there, and EFL is the focal loss.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from ..data import GROUP_NAMES, TrainingRecords
from ..losses import FocalFamily
from ..losses.functional import initial_ratio, prior_for_ratio
from .anchor_counts import AnchorCounts, ImageSize, count_anchors, count_mixed_anchors
from .retinanet import EQLRetinaNet

# Ratio at which the median rare class should begin. Found on generated letters, see docs/prior.md.
TARGET_RATIO = 0.05
# Above 1 a class counts as balanced. A little above, the negatives of a long training bring it down
# again (LVIS' median rare class begins at 3 to 13); far above it stays there: docs/prior.md.
_TOO_HIGH = 30.0


@dataclasses.dataclass(frozen=True)
class InitialRegime:
    """Where the classes of a one-stage detector begin.

    Attributes:
        loss: name of the class.
        is_equalized: whether the loss goes by the ratio.
        prior: probability that each class starts with.
        anchors: of an average training image.
        ratio: predicted, float64 (C,); 0 for a class without positives.
        groups: "r", "c", "f" of each class.
        suggested_prior: with it the median class of the rarest group begins at ``TARGET_RATIO``.
    """

    loss: str
    is_equalized: bool
    prior: float
    anchors: AnchorCounts
    ratio: Tensor
    groups: Sequence[str]
    suggested_prior: float

    @property
    def medians(self) -> dict[str, float]:
        """Median ratio of the rare, common and frequent classes that occur."""
        groups, ratio = np.array(list(self.groups)), self.ratio.numpy()
        index = {group: (groups == group) & (ratio > 0) for group in reversed(GROUP_NAMES)}
        return {GROUP_NAMES[g]: float(np.median(ratio[i])) for g, i in index.items() if i.any()}

    @property
    def is_baseline(self) -> bool:
        """Whether an equalized loss would act as its baseline for long.

        That is, whether the median class of the rarest group begins far above 1.
        """
        return self.is_equalized and next(iter(self.medians.values()), 0.0) > _TOO_HIGH

    def __str__(self) -> str:
        medians = "  ".join(f"{name}: {value:.3g}" for name, value in self.medians.items())
        return (
            f"gradient ratio that the median class begins with, predicted  {medians}  (prior "
            f"{self.prior:g}, {self.anchors.num_anchors:,.0f} anchors an image, "
            f"{self.anchors.positives.sum():.1f} of them positive{self.later})"
        )

    @property
    def later(self) -> str:
        """That an equalized loss changes what is measured; empty for others."""
        return f"; {self.loss}'s factor moves it from the second step on" * self.is_equalized

    @property
    def warning(self) -> str:
        """What to do where the loss would begin as its baseline."""
        group, ratio = next(iter(self.medians.items()))
        return (
            f"{self.loss} begins as its baseline: the median {group} category starts with a "
            f"gradient ratio of {ratio:,.0f}, and from 1 on all count as balanced. Set the prior "
            f"(MODEL.EQL.PRIOR_PROB) to {self.suggested_prior:.2g}, or to auto"
        )


def has_regime(model: nn.Module) -> bool:
    """Whether it can be predicted where the classes of a model begin: of one-stage detectors with a
    loss of the focal family."""
    return isinstance(model, EQLRetinaNet) and isinstance(model.loss_cls, FocalFamily)


def predict_regime(
    model: EQLRetinaNet, data: TrainingRecords, groups: Sequence[str]
) -> InitialRegime:
    """Predict where the classes of a detector begin on its training data.

    Args:
        model: see :func:`has_regime`.
        data: at least one record, with boxes.
        groups: of each class.
    """
    if data.mosaic is None:
        size = ImageSize.of_mapper(data.mapper)
        counted = model, data.records, size
        anchors = count_anchors(*counted, data.repeat_factors, data.batch_size)
    else:
        counted = model, data.records, data.mosaic
        anchors = count_mixed_anchors(*counted, data.repeat_factors, data.batch_size)
    return initial_regime(model.loss_cls, anchors, groups)


def initial_regime(
    loss: FocalFamily, anchors: AnchorCounts, groups: Sequence[str]
) -> InitialRegime:
    """Predict where the classes begin.

    Args:
        loss: of the detector.
        anchors: counted in its training data.
        groups: of each class, as in :class:`CategoryGroups`, rarest group "r" (Open Images: "1").

    Returns:
        The regime. Without any positive anchor the suggested prior is that of the loss.
    """
    prior = 0.5 if loss.prior_prob is None else loss.prior_prob
    form = (loss.gamma, loss.alpha)
    quality = anchors.quality if loss.uses_quality else None
    ratio = initial_ratio(prior, anchors.step_positives, anchors.step_anchors, *form, quality)
    suggested = prior
    for group in reversed(GROUP_NAMES):
        index = torch.tensor([g == group for g in groups]) & (anchors.step_positives > 0)
        if index.any():
            median = float(anchors.step_positives[index].quantile(0.5))
            quality = None if quality is None else float(quality[index].mean())
            suggested = prior_for_ratio(TARGET_RATIO, median, anchors.step_anchors, *form, quality)
            break
    return InitialRegime(
        type(loss).__name__,
        loss.class_weights() is not None,
        prior,
        anchors,
        ratio,
        groups,
        suggested,
    )

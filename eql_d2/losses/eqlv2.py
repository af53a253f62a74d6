"""EQL v2 (arXiv 2012.08548), called Sigmoid-EQL in arXiv 2210.05566."""

import torch
from detectron2.config import configurable
from torch import Tensor

from ..exceptions import InputError
from .arguments import in_float32, is_number
from .baselines import SigmoidLoss
from .build import EQL_LOSS_REGISTRY
from .gradient_statistics import GradientStatistics


def gradient_guided_weights(
    ratio: Tensor, gamma: float, mu: float, alpha: float
) -> tuple[Tensor, Tensor]:
    r"""Weights that lift the positive and damp the negative gradients of unbalanced classes.

    With the ratio g of accumulated positive to negative gradients of a class,

    .. math::
        f(g) = \frac{1}{1 + e^{-\gamma (g - \mu)}}, \qquad
        w^- = f(g), \qquad w^+ = 1 + \alpha (1 - f(g))

    Args:
        ratio: (C,), non-negative.
        gamma, mu, alpha: see :class:`EQLv2`.

    Returns:
        Positive and negative weights, each of the shape and dtype of ``ratio``.
    """
    neg_weight = torch.sigmoid(gamma * (ratio - mu))
    return 1 + alpha * (1 - neg_weight), neg_weight


@EQL_LOSS_REGISTRY.register()
class EQLv2(SigmoidLoss):
    r"""Sigmoid cross entropy, reweighted by the accumulated gradient ratio of each class.

    .. math::
        L = \frac{1}{R} \sum_i \sum_j
            \left[ w^+_j y_{ij} + w^-_j (1 - y_{ij}) \right] \mathrm{BCE}(z_{ij}, y_{ij})

    The weights of :func:`gradient_guided_weights` come from all steps before this one. Each step
    adds the *weighted* gradients without the 1/R: :math:`\sum_i w^+_j y_{ij} |p_{ij} - 1|` and
    :math:`\sum_i w^-_j (1 - y_{ij}) p_{ij}`, background rows included, all processes together.
    They are added only in training mode with gradients enabled.

    Column C of a box head is the category-agnostic task. As in the official code it is trained to
    be 1 on background rows ("no object", while the paper words it as objectness), always with
    weight 1 and without statistics; at test the score of class j is :math:`p_j (1 - p_C)`.

    On rows or maps of C columns (classification, segmentation) there is no such task; official code
    has EQL v2 for detection only, so that is our reconstruction.

    Not for dense one-stage heads: there the negatives of the anchors swamp the ratio.

    Args:
        num_classes: number C of foreground classes.
        gamma: slope of the weight function. This default and the next two: official code.
        mu: ratio at which the negative weight is one half.
        alpha: how much the positive weight grows for classes without a balance.
        objectness: train column C and use it at test. If False the column is unused.
        prior_prob: probability that every column starts with (official code).
        decay: see :class:`GradientStatistics`.

    Raises:
        InputError: gamma or alpha is negative, or mu no finite number.
    """

    @configurable
    def __init__(
        self,
        num_classes: int,
        gamma: float = 12.0,
        mu: float = 0.8,
        alpha: float = 4.0,
        objectness: bool = True,
        prior_prob: float | None = 0.001,
        decay: float = 1.0,
    ):
        super().__init__(num_classes, num_logits=num_classes + 1, prior_prob=prior_prob)
        for name, value in (("gamma", gamma), ("alpha", alpha)):
            if not is_number(value) or value < 0:
                raise InputError(
                    f"{name} of EQLv2 is {value}: it must not be negative, "
                    "or the loss would favour the classes that have most"
                )
        if not is_number(mu):
            raise InputError(f"mu of EQLv2 is {mu}: it is a gradient ratio, give 0.8 for example")
        self.gamma = gamma
        self.mu = mu
        self.alpha = alpha
        self.objectness = objectness
        # The official code starts at 100, where both weights are 1.
        self.statistics = GradientStatistics(num_classes, initial_ratio=100.0, decay=decay)

    @torch.jit.unused
    def _weights(self, logits: Tensor) -> tuple[Tensor, Tensor, None]:
        pos_weight, neg_weight = self.class_weights()
        if logits.shape[1] > self.num_classes:
            column_c = pos_weight.new_full((1,), float(self.objectness))
            pos_weight = torch.cat([pos_weight, column_c])
            neg_weight = torch.cat([neg_weight, column_c])
        return pos_weight, neg_weight, None

    def class_weights(self) -> tuple[Tensor, Tensor]:
        return gradient_guided_weights(self.statistics.ratio(), self.gamma, self.mu, self.alpha)

    def scores(self, logits: Tensor) -> Tensor:
        if self.objectness:
            return self._scores_of_objects(logits)
        return in_float32(logits[:, : self.num_classes]).sigmoid()

    def extra_repr(self) -> str:
        return (
            f"num_classes={self.num_classes}, gamma={self.gamma}, mu={self.mu}, "
            f"alpha={self.alpha}, objectness={self.objectness}"
        )

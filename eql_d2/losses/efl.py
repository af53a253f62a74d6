"""Equalized Focal Loss and Equalized Quality Focal Loss (CVPR 2022, arXiv 2201.02593)."""

import torch
from detectron2.config import configurable
from torch import Tensor

from ..exceptions import InputError
from .arguments import Normalizer, is_number
from .build import EQL_LOSS_REGISTRY
from .dense import Maps
from .focal import FocalFamily
from .gradient_statistics import GradientStatistics


class _EqualizedFocal(FocalFamily):
    """What EFL and EQFL share: factors of each class from its gradient ratio.

    .. math::
        \\gamma_j = \\gamma_b + s (1 - g_j), \\quad w_j = \\gamma_j / \\gamma_b, \\quad
        g_j = \\mathrm{clamp}(G^+_j / G^-_j, 0, 1)
    """

    def __init__(
        self,
        num_classes: int,
        gamma: float,
        alpha: float,
        scale: float,
        decay: float,
        prior_prob: float | None,
    ):
        super().__init__(num_classes, gamma, alpha, prior_prob)
        if not is_number(scale) or scale < 0:
            raise InputError(f"scale of {type(self).__name__} is {scale}: it must not be negative")
        if gamma == 0:
            raise InputError(f"gamma of {type(self).__name__} is 0: it divides, give 2 for example")
        self.scale = scale
        # The official code starts with a ratio of 1, where the loss is the plain focal loss.
        self.statistics = GradientStatistics(num_classes, initial_ratio=1.0, decay=decay)

    def _factors(self, device: torch.device) -> tuple[Tensor, Tensor]:
        gamma = self.gamma + self.scale * (1 - self.statistics.ratio().clamp(0, 1))
        return gamma, gamma / self.gamma

    def class_weights(self) -> tuple[Tensor, Tensor]:
        weight = self._factors(self.statistics.pos_grad.device)[1]
        return weight, weight

    def extra_repr(self) -> str:
        return f"num_classes={self.num_classes}, gamma={self.gamma}, scale={self.scale}"


@EQL_LOSS_REGISTRY.register()
class EFL(_EqualizedFocal):
    r"""Equalized Focal Loss: classes out of balance get a stronger focus and a larger weight.

    .. math::
        L = \frac{1}{n} \sum_i \sum_j \alpha_t \, w_j \, (1 - p_t)^{\gamma_j} (-\log p_t)

    with :math:`p_t = p, \alpha_t = \alpha` at the labelled class and
    :math:`p_t = 1 - p, \alpha_t = 1 - \alpha` elsewhere. The statistics are those of the official
    hook, :math:`|\partial L / \partial z|` of the *normalised* loss, but in closed form and in the
    forward pass. Weights of a step come from the steps before it.

    Args:
        num_classes: number C of classes.
        gamma: focusing factor :math:`\gamma_b` of a class in balance. This default and the next
            two: official code.
        alpha: weight of the positives, 1 - alpha of the negatives; negative for none.
        scale: s, how much the focus grows as the ratio falls.
        decay: see :class:`GradientStatistics`.
        prior_prob: probability that each class starts with (official code).
    """

    @configurable
    def __init__(
        self,
        num_classes: int,
        gamma: float = 2.0,
        alpha: float = 0.25,
        scale: float = 8.0,
        decay: float = 1.0,
        prior_prob: float | None = 0.001,
    ):
        super().__init__(num_classes, gamma, alpha, scale, decay, prior_prob)

    @torch.jit.unused
    def forward(
        self,
        logits: Maps,
        targets: Tensor,
        *,
        normalizer: Normalizer = None,
        row_weight: Tensor | None = None,
    ) -> Tensor:
        return self._loss(logits, targets, normalizer, row_weight)


@EQL_LOSS_REGISTRY.register()
class EQFL(_EqualizedFocal):
    r"""Equalized Quality Focal Loss: EFL whose positives aim at the quality of their box.

    As :class:`EFL` without alpha; at the labelled class, with quality q (IoU of the decoded box),
    :math:`w_j |q - p|^{\gamma_j} \mathrm{BCE}(p, q)`. As in the official code the absolute gradient
    there counts as positive, also where p exceeds q.

    Args:
        num_classes, gamma, scale, decay, prior_prob: see :class:`EFL`; the official YOLOX recipe
            has a scale of 4.
    """

    uses_quality = True

    @configurable
    def __init__(
        self,
        num_classes: int,
        gamma: float = 2.0,
        scale: float = 8.0,
        decay: float = 1.0,
        prior_prob: float | None = 0.001,
    ):
        super().__init__(num_classes, gamma, -1.0, scale, decay, prior_prob)

    @torch.jit.unused
    def forward(
        self,
        logits: Maps,
        targets: Tensor,
        *,
        normalizer: Normalizer = None,
        row_weight: Tensor | None = None,
        quality: Tensor,
    ) -> Tensor:
        return self._loss(logits, targets, normalizer, row_weight, quality)

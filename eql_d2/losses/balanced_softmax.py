"""Balanced softmax (arXiv 2007.10740) and logit adjustment (arXiv 2007.07314)."""

import torch
from detectron2.config import configurable
from torch import Tensor

from ..exceptions import InputError
from .arguments import Normalizer, PerClass, is_number
from .baselines import SoftmaxLoss
from .build import EQL_LOSS_REGISTRY
from .functional import softmax_cross_entropy
from .sample_counts import SampleCountLoss
from .softmax_eql import neutral_margin


@EQL_LOSS_REGISTRY.register()
class BalancedSoftmax(SampleCountLoss, SoftmaxLoss):
    r"""Softmax cross entropy with margins from the number of training samples of the classes.

    .. math::
        L = -\frac{1}{R} \sum_i \log
            \frac{e^{z_{iy} + \tau \log n_y}}{\sum_k e^{z_{ik} + \tau \log n_k}}

    With :math:`\tau = 1` it is the balanced softmax, otherwise the logit-adjusted loss. At test:
    plain softmax of z. All n equal, or :math:`\tau = 0`, is cross entropy. It is the peer of
    :class:`SoftmaxEQL`, which has accumulated gradients in the place of n.

    The papers define it for image classification, with the samples as they are: counts do not
    follow a sampler that repeats rare images. Soft labels (mixup, CutMix) are cross entropy with
    them. Ours are segmentation (each pixel a row, n the labelled pixels of a class) and box heads
    (n the instances, which stand for the RoIs; images where only they are known): there the
    background, whose number depends on the sampler, has the margin of :func:`neutral_margin`.

    Args:
        num_classes: number C of classes, in a box head without the background.
        class_count: see :class:`SampleCountLoss`. Only the shares count.
        tau: factor of the margins. 1 is the balanced softmax, and the theory of both papers.

    Raises:
        InputError: see :class:`SampleCountLoss`; negative tau.
    """

    takes_soft_labels = True
    has_margins = True

    @configurable
    def __init__(self, num_classes: int, class_count: PerClass, tau: float = 1.0):
        super().__init__(num_classes, class_count)
        if not is_number(tau) or tau < 0:
            raise InputError(f"tau of BalancedSoftmax is {tau}: it must not be negative, give 1.0")
        self.tau = tau

    @torch.jit.unused
    def forward(
        self,
        logits: Tensor,
        targets: Tensor,
        *,
        normalizer: Normalizer = None,
        row_weight: Tensor | None = None,
    ) -> Tensor:
        self._check_shapes(logits, targets, row_weight)
        loss, pos_grad, neg_grad = softmax_cross_entropy(
            logits,
            targets,
            self._margins(logits),
            self._normalizer(normalizer, targets, row_weight),
            row_weight,
        )
        self._accumulate(pos_grad, neg_grad)
        return loss

    @torch.jit.unused
    def _margins(self, logits: Tensor) -> Tensor:
        count = self._samples(logits)
        margins = self.tau * count.log()
        if logits.shape[1] > self.num_classes:
            background = neutral_margin(count, self.tau, eps=0.0)
            margins = torch.cat([margins, background])
        return margins

    def extra_repr(self) -> str:
        return f"num_classes={self.num_classes}, tau={self.tau}"

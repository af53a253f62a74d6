"""Softmax-EQL (arXiv 2210.05566)."""

import torch
from detectron2.config import configurable
from detectron2.utils import comm
from torch import Tensor

from ..exceptions import InputError
from .arguments import Normalizer, is_number
from .baselines import SoftmaxLoss
from .build import EQL_LOSS_REGISTRY
from .functional import softmax_cross_entropy
from .gradient_statistics import GradientStatistics

INDICATORS = ("pos", "neg", "pos_and_neg")


def gradient_margins(accumulated: Tensor, tau: float, eps: float) -> Tensor:
    r"""What Softmax-EQL adds to each logit: :math:`a_k = \tau \log \max(G_k, \epsilon)`.

    The paper's form adds :math:`\tau \log(G_k / G_y)` to the logit of each class k but the label y.
    The label's own share is the same for all classes, and a softmax does not see it.

    Args:
        accumulated: G, (C,), non-negative.
        tau, eps: see :class:`SoftmaxEQL`.

    Returns:
        (C,), in the dtype of ``accumulated``.
    """
    return tau * accumulated.clamp(min=eps).log()


def neutral_margin(accumulated: Tensor, tau: float, eps: float) -> Tensor:
    r"""Margin of a further column b that leaves its odds against all classes together as they are.

    Trained to the end, :math:`\mathrm{softmax}(z + a)` is :math:`P(k | x)`, so at test, without
    margins, the odds of b against the classes j are

    .. math::
        \frac{P(b | x) e^{-a_b}}{\sum_j P(j | x) e^{-a_j}}

    instead of :math:`P(b | x) / \sum_j P(j | x)`. They are equal for the mix of classes that occurs
    in training, :math:`P(j | x) \propto G_j`, if

    .. math::
        e^{-a_b} = \frac{\sum_j G_j e^{-a_j}}{\sum_j G_j} = \frac{\sum_j G_j^{1 - \tau}}{\sum_j G_j}

    For :math:`\tau = 1` column b counts as a class with the mean G. All G equal, or
    :math:`\tau = 0`, gives all columns the same margin: cross entropy.

    Args:
        accumulated, tau, eps: see :func:`gradient_margins`.

    Returns:
        (1,), in the dtype of ``accumulated``.
    """
    log_gradient = accumulated.clamp(min=eps).log()
    margin = torch.logsumexp(log_gradient, 0) - torch.logsumexp((1 - tau) * log_gradient, 0)
    return margin[None]


@EQL_LOSS_REGISTRY.register()
class SoftmaxEQL(SoftmaxLoss):
    r"""Softmax cross entropy with margins from the accumulated gradients of the classes.

    .. math::
        L = -\frac{1}{R} \sum_i \log
            \frac{e^{z_{iy}}}{\sum_k e^{z_{ik} + \tau \log (G_k / G_y)}}, \qquad
        G_k = \max(G^+_k, \epsilon)

    A class with more accumulated gradient than the label must be beaten by a larger margin. Each
    step adds :math:`|\partial L / \partial z|` of this loss, mean included: at the label to
    :math:`G^+`, elsewhere to :math:`G^-`. Margins of a step come from the steps before it; the
    first step is cross entropy. At test: plain softmax.

    Image classification is what official code exists for. Soft labels (mixup, CutMix) follow its
    second variant, ``softmax_eqlv2``: cross entropy of :math:`z + \tau \log G`, statistics weighted
    by the label. Segmentation (each pixel a row) and box heads are our reconstruction: there the
    background column has no statistics, its samples count as negatives of all classes, and its
    margin is that of :func:`neutral_margin`.

    Deviations from the official code: ``pos_and_neg`` is the sum of positive and negative gradient
    (there the *ratio* plus the negative gradient, by mistake); soft labels have the same floor eps
    as hard ones (there 1e-9 under the power of tau); with N processes the sums are divided by N, so
    that eps means the same as in one process.

    Args:
        num_classes: number C of classes, in a box head without the background.
        tau: factor of the margins; 0 is cross entropy. This default and the next two: official
            code.
        indicator: G of a class: "pos", its accumulated positive gradient; "neg"; "pos_and_neg",
            their sum.
        eps: smallest G, in units of the gradient of a mean over rows.
        decay: see :class:`GradientStatistics`.

    Raises:
        InputError: negative tau, unknown indicator, or an eps that is not positive.
    """

    takes_soft_labels = True
    has_margins = True

    @configurable
    def __init__(
        self,
        num_classes: int,
        tau: float = 1.0,
        indicator: str = "pos",
        eps: float = 1e-4,
        decay: float = 1.0,
    ):
        super().__init__(num_classes, num_logits=num_classes + 1)
        if not is_number(tau) or tau < 0:
            raise InputError(f"tau of SoftmaxEQL is {tau}: it must not be negative, give 1.0")
        if indicator not in INDICATORS:
            raise InputError(
                f"indicator of SoftmaxEQL is {indicator!r}: choose one of {', '.join(INDICATORS)}"
            )
        if not is_number(eps) or eps <= 0:
            raise InputError(f"eps of SoftmaxEQL is {eps}: it must be positive, give 1e-4")
        self.tau = tau
        self.indicator = indicator
        self.eps = eps
        self.statistics = GradientStatistics(num_classes, decay=decay)

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
            self._margins(has_background=logits.shape[1] > self.num_classes),
            self._normalizer(normalizer, targets, row_weight),
            row_weight,
        )
        num_processes = comm.get_world_size()
        self._accumulate(pos_grad / num_processes, neg_grad / num_processes)
        return loss

    @torch.jit.unused
    def _margins(self, has_background: bool) -> Tensor:
        pos_grad, neg_grad = self.statistics.pos_grad, self.statistics.neg_grad
        accumulated = {"pos": pos_grad, "neg": neg_grad, "pos_and_neg": pos_grad + neg_grad}
        gradient = accumulated[self.indicator]
        margins = gradient_margins(gradient, self.tau, self.eps)
        if has_background:
            margins = torch.cat([margins, neutral_margin(gradient, self.tau, self.eps)])
        return margins

    def extra_repr(self) -> str:
        return (
            f"num_classes={self.num_classes}, tau={self.tau}, indicator={self.indicator!r}, "
            f"eps={self.eps}"
        )

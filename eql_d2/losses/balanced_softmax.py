"""Balanced softmax (arXiv 2007.10740) and logit adjustment (arXiv 2007.07314)."""

import torch
from detectron2.config import configurable
from torch import Tensor

from ..exceptions import InputError
from .arguments import PerClass, is_number, values_per_class
from .base import Normalizer
from .baselines import SoftmaxLoss
from .build import EQL_LOSS_REGISTRY
from .functional import softmax_cross_entropy
from .softmax_eql import neutral_margin

# Classes that a message names
_NAMED = 5


@EQL_LOSS_REGISTRY.register()
class BalancedSoftmax(SoftmaxLoss):
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
        class_count: (C,) training samples of each class, or a function that returns it, called
            before the first training step (test needs no training data). Only the shares count.
        tau: factor of the margins. 1 is the balanced softmax, and the theory of both papers.

    Raises:
        InputError: no counts, of another length than C, or one that is not positive; negative tau.
    """

    takes_soft_labels = True
    needs_class_count = True

    @configurable
    def __init__(self, num_classes: int, class_count: PerClass, tau: float = 1.0):
        super().__init__(num_classes, num_logits=num_classes + 1)
        if not is_number(tau) or tau < 0:
            raise InputError(f"tau of BalancedSoftmax is {tau}: it must not be negative, give 1.0")
        if class_count is None:
            raise InputError(
                "BalancedSoftmax has no class_count: give the training samples of each class, "
                "for example eql_d2.data.get_class_count(dataset_names)"
            )
        self.tau = tau
        self._get_class_count = class_count if callable(class_count) else None
        # Not saved: as in EQL, it describes the training data of this run.
        self.register_buffer("class_count", None, persistent=False)
        if not callable(class_count):
            self._set_class_count(class_count)

    def _set_class_count(self, class_count: Tensor) -> None:
        count = values_per_class(self, "class_count", class_count)
        bad = [i for i, n in enumerate(count.tolist()) if not n > 0]
        if bad:
            first = ", ".join(map(str, bad[:_NAMED])) + (", ..." if bad[_NAMED:] else "")
            raise InputError(
                f"class_count of BalancedSoftmax is not positive for {len(bad)} of "
                f"{self.num_classes} classes (index {first}): their margin log 0 would be "
                "infinite, so take these classes out of the training data or give them samples"
            )
        self.class_count = count

    def prepare_training(self) -> None:
        if self.class_count is None:
            self._set_class_count(self._get_class_count())

    @torch.jit.unused
    def forward(self, logits: Tensor, targets: Tensor, *, normalizer: Normalizer = None) -> Tensor:
        self._check_shapes(logits, targets)
        loss, pos_grad, neg_grad = softmax_cross_entropy(
            logits, targets, self._margins(logits), self._normalizer(normalizer, targets)
        )
        self._accumulate(pos_grad, neg_grad)
        return loss

    @torch.jit.unused
    def _margins(self, logits: Tensor) -> Tensor:
        self.prepare_training()  # in a training loop of one's own nobody has called it
        self.class_count = self.class_count.to(logits.device)
        margins = self.tau * self.class_count.log()
        if logits.shape[1] > self.num_classes:
            background = neutral_margin(self.class_count, self.tau, eps=0.0)
            margins = torch.cat([margins, background])
        return margins

    def extra_repr(self) -> str:
        return f"num_classes={self.num_classes}, tau={self.tau}"

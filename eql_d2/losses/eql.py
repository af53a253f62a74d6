"""Equalization loss (CVPR 2020, arXiv 2003.05176): EQL and its softmax form SEQL."""

import torch
import torch.nn.functional as F
from detectron2.config import configurable
from torch import Tensor

from ..exceptions import InputError
from .base import ClassificationLoss, Normalizer, PerClass, values_per_class
from .baselines import SigmoidLoss, SoftmaxLoss
from .build import EQL_LOSS_REGISTRY


class _FrequencyLoss(ClassificationLoss):
    """A loss that shields the tail: the classes in less than a share ``lambda_`` of the images."""

    needs_image_frequency = True

    def __init__(
        self,
        num_classes: int,
        image_frequency: PerClass,
        lambda_: float,
        prior_prob: float | None = None,
    ):
        super().__init__(num_classes, num_logits=num_classes + 1, prior_prob=prior_prob)
        name = type(self).__name__
        if lambda_ < 0:
            raise InputError(f"lambda_ of {name} is {lambda_}: give a share of images, 0 to 1")
        if image_frequency is None:
            raise InputError(
                f"{name} has no image_frequency: give the share of training images of each class, "
                "for example eql_d2.data.get_image_frequency(dataset_names)"
            )
        self.lambda_ = lambda_
        self._get_image_frequency = image_frequency if callable(image_frequency) else None
        # Not saved: it describes the training data of this run, whatever a checkpoint was
        # trained on, and test does not need it.
        self.register_buffer("image_frequency", None, persistent=False)
        if not callable(image_frequency):
            self._set_image_frequency(image_frequency)

    def _set_image_frequency(self, image_frequency: Tensor) -> None:
        frequency = values_per_class(self, "image_frequency", image_frequency)
        if not bool(((frequency >= 0) & (frequency <= 1)).all()):
            raise InputError(
                f"image_frequency of {type(self).__name__} has values from {frequency.min():g} to "
                f"{frequency.max():g}: give shares of images, from 0 to 1, not counts"
            )
        self.image_frequency = frequency

    def prepare_training(self) -> None:
        if self.image_frequency is None:
            self._set_image_frequency(self._get_image_frequency())

    def _is_tail(self, logits: Tensor) -> Tensor:
        """T of the paper, for all columns: bool (K,), False at the background column."""
        self.prepare_training()  # in a training loop of one's own nobody has called it
        self.image_frequency = self.image_frequency.to(logits.device)
        extra_columns = logits.shape[1] - self.num_classes
        return F.pad(self.image_frequency < self.lambda_, (0, extra_columns), value=False)


@EQL_LOSS_REGISTRY.register()
class EQL(_FrequencyLoss, SigmoidLoss):
    r"""Sigmoid cross entropy in which foreground samples do not push down the tail classes.

    .. math::
        L = \frac{1}{R} \sum_i \sum_j w_{ij} \mathrm{BCE}(z_{ij}, y_{ij}), \qquad
        w_{ij} = 1 - E_i \, T(f_j) \, (1 - y_{ij})

    :math:`E_i` is 1 for foreground rows and 0 for background rows, which go on pushing down all
    classes; :math:`T(f) = 1` if :math:`f < \lambda`. Column C is unused (zero gradient); the
    official code has C columns, ours keeps Detectron2's layout.

    Deviation from the paper: its extra rule for LVIS, weight 1 for the categories that an image
    is annotated not to contain, is left out, as in the official code ("it doesn't lead to a
    better result").

    Args:
        num_classes: number C of foreground classes.
        image_frequency: (C,) share of the annotated training images that contain each class, or
            a function that returns it, called before the first training step (test needs no
            training data).
        lambda_: share of images below which a class belongs to the tail. 0.00177 is the official
            value for LVIS v0.5; for LVIS v1 it is 0.0011.
        prior_prob: probability that every column starts with (official code).

    Raises:
        InputError: no frequencies, of another length than C, or outside [0, 1]; negative lambda.
    """

    @configurable
    def __init__(
        self,
        num_classes: int,
        image_frequency: PerClass,
        lambda_: float = 0.00177,
        prior_prob: float | None = 0.001,
    ):
        super().__init__(num_classes, image_frequency, lambda_, prior_prob)

    @torch.jit.unused
    def _weights(self, logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        pos_weight = self._foreground(logits)
        of_foreground = pos_weight.masked_fill(self._is_tail(logits), 0)
        is_foreground = torch.arange(logits.shape[1], device=logits.device) < self.num_classes
        return pos_weight, torch.stack([pos_weight, of_foreground]), is_foreground.long()

    def extra_repr(self) -> str:
        return f"num_classes={self.num_classes}, lambda_={self.lambda_}"


@EQL_LOSS_REGISTRY.register()
class SEQL(_FrequencyLoss, SoftmaxLoss):
    r"""Softmax cross entropy in which samples of other classes mostly do not push down the tail.

    .. math::
        L = -\frac{1}{R} \sum_i \log \frac{e^{z_{iy}}}{\sum_k \tilde w_{ik} e^{z_{ik}}}, \qquad
        \tilde w_{ik} = 1 - \beta_{ik} \, T(f_k) \, (1 - y_{ik})

    :math:`\beta_{ik}` is 1 with probability gamma, drawn anew for each row and class. A weight of
    0 is a logit of minus infinity: nothing overflows.

    The paper defines it for image classification. Rows of C columns are that; in a box head
    column C, the background, is never masked, and background rows mask nothing, as in
    :class:`EQL`: our reconstruction, no reference code exists. With gamma = 0 it is cross entropy.

    Args:
        num_classes: number C of foreground classes.
        image_frequency: as for :class:`EQL`; for classification the share of training images.
        lambda_: share of images below which a class belongs to the tail. The default is ours, for
            ImageNet-LT; the paper's value could not be verified.
        gamma: probability that a tail class is left out (the same).

    Raises:
        InputError: as for :class:`EQL`; gamma outside [0, 1].
    """

    @configurable
    def __init__(
        self,
        num_classes: int,
        image_frequency: PerClass,
        lambda_: float = 4.3e-4,
        gamma: float = 0.9,
    ):
        super().__init__(num_classes, image_frequency, lambda_)
        if not 0 <= gamma <= 1:
            raise InputError(f"gamma of SEQL is {gamma}: it is a probability, give 0 to 1")
        self.gamma = gamma

    @torch.jit.unused
    def forward(self, logits: Tensor, targets: Tensor, *, normalizer: Normalizer = None) -> Tensor:
        self._check_shapes(logits, targets)
        per_class = [1, -1] + [1] * (logits.dim() - 2)
        left_out = torch.rand(logits.shape, device=logits.device) < self.gamma
        left_out &= self._is_tail(logits).view(per_class)
        left_out &= (targets < self.num_classes).unsqueeze(1)
        left_out.scatter_(1, targets.clamp(min=0).unsqueeze(1), False)
        logits = logits.masked_fill(left_out, float("-inf"))
        return self._cross_entropy(logits, targets, self._normalizer(normalizer, targets))

    def extra_repr(self) -> str:
        return f"num_classes={self.num_classes}, lambda_={self.lambda_}, gamma={self.gamma}"

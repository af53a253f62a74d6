"""Equalization loss (CVPR 2020, arXiv 2003.05176): EQL and its softmax form SEQL."""

import torch
import torch.nn.functional as F
from detectron2.config import configurable
from torch import Tensor

from ..exceptions import InputError
from .arguments import Normalizer, PerClass, divided, is_number, values_per_class
from .base import ClassificationLoss
from .baselines import SigmoidLoss, SoftmaxLoss
from .build import EQL_LOSS_REGISTRY


class _TailLoss(ClassificationLoss):
    """A loss that shields the tail: the classes of which a measure is below ``lambda_``.

    The measure is the share of images; a subclass may have another one, in these attributes and in
    ``_check_measure``.
    """

    needs_image_frequency = True
    # Name of the argument and of the buffer, what its values are, and whence they come
    _measure = "image_frequency"
    _values = "the share of training images of each class"
    _getter = "get_image_frequency"
    _lambda = "a share of images, 0 to 1"

    def __init__(
        self,
        num_classes: int,
        measure: PerClass,
        lambda_: float,
        prior_prob: float | None = None,
    ):
        super().__init__(num_classes, num_logits=num_classes + 1, prior_prob=prior_prob)
        name = type(self).__name__
        if not is_number(lambda_) or lambda_ < 0:
            raise InputError(f"lambda_ of {name} is {lambda_}: give {self._lambda}")
        if measure is None:
            raise InputError(
                f"{name} has no {self._measure}: give {self._values}, for example "
                f"eql_d2.data.{self._getter}(dataset_names)"
            )
        self.lambda_ = lambda_
        self._get_measure = measure if callable(measure) else None
        # Not saved: it describes the training data of this run, whatever a checkpoint was
        # trained on, and test does not need it.
        self.register_buffer(self._measure, None, persistent=False)
        if not callable(measure):
            self._set_measure(measure)

    def _set_measure(self, measure: Tensor) -> None:
        measure = values_per_class(self, self._measure, measure)
        self._check_measure(measure)
        setattr(self, self._measure, measure)

    def _check_measure(self, frequency: Tensor) -> None:
        if not bool(((frequency >= 0) & (frequency <= 1)).all()):
            raise InputError(
                f"image_frequency of {type(self).__name__} has values from {frequency.min():g} to "
                f"{frequency.max():g}: give shares of images, from 0 to 1, not counts"
            )

    def prepare_training(self) -> None:
        if getattr(self, self._measure) is None:
            self._set_measure(self._get_measure())

    def _is_tail(self, logits: Tensor) -> Tensor:
        """T of the paper, for all columns: bool (K,), False at the background column."""
        self.prepare_training()  # in a training loop of one's own nobody has called it
        measure = getattr(self, self._measure).to(logits.device)
        setattr(self, self._measure, measure)
        extra_columns = logits.shape[1] - self.num_classes
        return F.pad(measure < self.lambda_, (0, extra_columns), value=False)


@EQL_LOSS_REGISTRY.register()
class EQL(_TailLoss, SigmoidLoss):
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
class InstanceCountEQL(EQL):
    """:class:`EQL` whose tail are the classes of few training instances, not of few images.

    The official code goes by instances on Open Images.

    Args:
        num_classes, prior_prob: as for :class:`EQL`.
        class_count: (C,) training instances of each class, or a function that returns it, called
            before the first training step; :func:`eql_d2.data.get_class_count` gives images where
            only they are known, as for Detectron2's LVIS.
        lambda_: instances below which a class belongs to the tail. 1652 is the official value for
            Open Images, the count of the 250th of its 500 classes.

    Raises:
        InputError: no counts, of another length than C, or negative; negative lambda.
    """

    needs_image_frequency = False
    needs_class_count = True
    _measure = "class_count"
    _values = "the training instances of each class"
    _getter = "get_class_count"
    _lambda = "a number of instances"

    @configurable
    def __init__(
        self,
        num_classes: int,
        class_count: PerClass,
        lambda_: int = 1652,
        prior_prob: float | None = 0.001,
    ):
        super().__init__(num_classes, class_count, lambda_, prior_prob)

    def _check_measure(self, count: Tensor) -> None:
        if not bool((count >= 0).all()):
            raise InputError(
                f"class_count of InstanceCountEQL has values down to {count.min():g}: give numbers "
                "of instances"
            )


@EQL_LOSS_REGISTRY.register()
class SEQL(_TailLoss, SoftmaxLoss):
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
        if not (is_number(gamma) and 0 <= gamma <= 1):
            raise InputError(f"gamma of SEQL is {gamma}: it is a probability, give 0 to 1")
        self.gamma = gamma

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
        per_class = [1, -1] + [1] * (logits.dim() - 2)
        left_out = torch.rand(logits.shape, device=logits.device) < self.gamma
        left_out &= self._is_tail(logits).view(per_class)
        left_out &= (targets < self.num_classes).unsqueeze(1)
        left_out.scatter_(1, targets.clamp(min=0).unsqueeze(1), False)
        logits = logits.masked_fill(left_out, float("-inf"))
        normalizer = self._normalizer(normalizer, targets, row_weight)
        total = self._summed_cross_entropy(logits, targets, normalizer, row_weight)
        return divided(total, normalizer)

    def extra_repr(self) -> str:
        return f"num_classes={self.num_classes}, lambda_={self.lambda_}, gamma={self.gamma}"

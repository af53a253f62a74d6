"""The contract between a head and a classification loss."""

import logging
import math

import torch
from detectron2.config import CfgNode
from detectron2.utils.logger import log_first_n
from torch import Tensor, nn

from ..exceptions import InputError
from .arguments import Normalizer, is_number
from .config_arguments import arguments_of_config
from .functional.checks import normalizer_problem, row_weight_problem, target_problem
from .gradient_statistics import GradientStatistics
from .step import SteppedLoss


class ClassificationLoss(SteppedLoss):
    """A classification loss that also owns what follows from it: columns, prior and scores.

    A head asks the loss how many logits to produce, with which bias to begin, how to train them
    and how to turn them into class probabilities, so that training and test cannot disagree.

    Logits are rows (R, K) with int64 targets (R,), or maps (N, K, H, W) with targets (N, H, W):
    0..C-1 foreground, C background, negative: ignored, whatever the logits of such a row are. In a
    box head K is C + 1. Tasks without a background, classification and segmentation, have K = C
    columns.

    Attributes:
        num_classes: number C of foreground classes.
        num_logits: columns that a box head or, for a :class:`DenseLoss`, a dense head must produce.
        default_prior: what None stands for as ``prior_prob``; None in a loss without a prior.
        prior_prob: probability that every class starts with through the head's bias; None for a
            zero bias, which as a probability is 0.5.
        statistics: accumulated gradients of each class, None where the loss needs none.
        takes_soft_labels: whether targets may also be soft labels, floating and of the shape of the
            logits (mixup, CutMix).
        counts_undivided: whether statistics are of the summed loss, before the normaliser.
        has_margins: whether training shifts the logits by the sizes of the classes, so that scores
            without the shifts are corrected for them.
        uses_quality: whether ``forward`` needs the argument ``quality``, which dense heads have.
        unread_settings: a line on what only our trainers read, for others to say at a first step.
        calibration: maps logits to those that heads hand to :meth:`scores`; see ``Calibration``.
    """

    default_prior: float | None = None
    takes_soft_labels = False
    counts_undivided = False
    has_margins = False
    uses_quality = False
    unread_settings = ""

    def __init__(self, num_classes: int, num_logits: int, prior_prob: float | None = None):
        super().__init__()
        if not is_number(num_classes) or num_classes < 1:
            raise InputError(f"num_classes is {num_classes}: a loss needs at least one class")
        if prior_prob is not None and not (is_number(prior_prob) and 0 < prior_prob < 1):
            raise InputError(
                f"prior_prob is {prior_prob}: give a probability between 0 and 1, for example 0.001"
            )
        self.num_classes = num_classes
        self.num_logits = num_logits
        self.prior_prob = self.default_prior if prior_prob is None else prior_prob
        self.statistics: GradientStatistics | None = None
        self.calibration: nn.Module = nn.Identity()

    @classmethod
    def from_config(cls, cfg: CfgNode, num_classes: int) -> dict:
        """Arguments of ``__init__``: see :func:`arguments_of_config`."""
        return {"num_classes": num_classes, **arguments_of_config(cls, cfg)}

    def check_head(self, num_classes: int, *, gives_quality: bool = False) -> None:
        """Refuse a head that this loss cannot train.

        Args:
            num_classes: number of foreground classes of the head.
            gives_quality: whether the head calls the loss with ``quality``.

        Raises:
            InputError: the numbers of classes differ, or the loss needs a quality.
        """
        name = type(self).__name__
        if self.num_classes != num_classes:
            raise InputError(
                f"{name} is for {self.num_classes} classes but the head has {num_classes}: "
                "set both to the number of classes of the data"
            )
        if self.uses_quality and not gives_quality:
            raise InputError(
                f"{name} needs the IoU of each box, which only one-stage detectors give it: "
                "set MODEL.EQL.LOSS to EFL for other heads"
            )

    def init_bias(self, bias: Tensor | None) -> None:
        """Let the bias of a head's last layer, if it has one, start at the prior."""
        if bias is not None and self.prior_prob is not None:
            nn.init.constant_(bias, -math.log((1 - self.prior_prob) / self.prior_prob))

    def prepare_training(self) -> None:
        """Get what the loss has to know of the training data. With several processes a collective:
        the trainers call it in each, before the first step."""

    def __call__(self, *args, **kwargs):
        if self.unread_settings and self.training:
            log_first_n(logging.WARNING, self.unread_settings, name=__name__, key="message")
            self.unread_settings = ""
        if self._collects():
            self._refuse_recomputation()
        return super().__call__(*args, **kwargs)

    def forward(
        self,
        logits: Tensor,
        targets: Tensor,
        *,
        normalizer: Normalizer = None,
        row_weight: Tensor | None = None,
    ) -> Tensor:
        """Compute the loss and, in training, accumulate its statistics.

        Args:
            logits: (R, K) or (N, K, H, W), any floating dtype; computed in float32 (or float64).
            targets: int64 (R,) or (N, H, W).
            normalizer: positive number that divides the summed loss; the number of rows or pixels
                that are not ignored if None, or the sum of their weights.
            row_weight: floating, as many as labels: a row of weight w counts as w rows, in the loss
                and in the statistics; 1 if None.

        Returns:
            The scalar loss; zero, with zero gradient, for an empty batch.

        Raises:
            InputError: logits, targets or normalizer of another shape, targets that are not int64;
                on a CPU also a target above the background, or above C - 1 where there is none.
        """
        raise NotImplementedError

    def scores(self, logits: Tensor) -> Tensor:
        """Turn logits (R, K) or (N, K, H, W) into the probabilities of the C foreground classes,
        float32 (float64 of float64) whatever the dtype of the logits."""
        raise NotImplementedError

    def monitor(self) -> None:
        """Accumulate gradient statistics also in a loss that does without: to see how far out of
        balance a baseline is. Its value and its gradient stay the same to the last bit."""
        if self.statistics is None:
            self.statistics = GradientStatistics(self.num_classes)

    def reset_statistics(self) -> None:
        """Forget what the steps so far have accumulated."""
        if self.statistics is not None:
            self.statistics.reset()

    def class_weights(self) -> tuple[Tensor, Tensor] | None:
        """Weights (C,) that the positive and the negative gradients of each class have in the next
        step; None for a loss without such weights."""
        return None

    def _collects(self) -> bool:
        return self.statistics is not None

    @torch.jit.unused
    def _accumulate(self, pos_grad: Tensor, neg_grad: Tensor) -> None:
        """Add the sums (K,) of a call to the statistics, or to those of the step that is open.
        Without one and with several processes a collective: call it in every forward, also without
        rows, before any return."""
        if self.statistics is None or not self._is_counted():
            return
        sums = pos_grad[: self.num_classes], neg_grad[: self.num_classes]
        if self._sums is None:
            self.statistics.update(*sums)
        else:
            parts = 1 if self.counts_undivided else self._parts
            self._sums["gradients"] += torch.stack(sums).detach() / parts

    def _new_sums(self) -> dict[str, Tensor]:
        if self.statistics is None:
            return {}
        return {"gradients": self.statistics.pos_grad.new_zeros(2, self.num_classes)}

    def _add_step(self, sums: dict[str, Tensor]) -> None:
        if self.statistics is not None:
            self.statistics.add(sums["gradients"])

    @torch.jit.unused
    def _normalizer(
        self, normalizer: Normalizer, targets: Tensor, row_weight: Tensor | None = None
    ) -> float | Tensor:
        if normalizer is None and row_weight is not None:
            counts = self._is_normal(targets)
            total = (row_weight if counts is None else row_weight.where(counts, 0)).sum()
            return torch.where(total > 0, total, 1)
        if normalizer is None:
            return self._default_normalizer(targets)
        self._refuse(normalizer_problem(normalizer))
        return normalizer.reshape(()) if isinstance(normalizer, Tensor) else normalizer

    @torch.jit.unused
    def _default_normalizer(self, targets: Tensor) -> Tensor:
        """Number of rows or pixels that the loss is divided by, at least 1."""
        counts = self._is_normal(targets)
        if counts is None:
            return torch.tensor(max(targets.numel() // max(targets.shape[1], 1), 1))
        return counts.sum().clamp(min=1)

    def _is_normal(self, targets: Tensor) -> Tensor | None:
        """Rows that the loss is divided by: those not ignored; None of soft labels, for all."""
        return None if targets.is_floating_point() else targets >= 0

    @torch.jit.unused
    def _check_shapes(
        self, logits: Tensor, targets: Tensor, row_weight: Tensor | None = None
    ) -> None:
        columns = sorted({self.num_classes, self.num_logits})
        if logits.dim() not in (2, 4) or logits.shape[1] not in columns:
            raise InputError(
                f"{type(self).__name__} got logits of shape {tuple(logits.shape)}: for "
                f"{self.num_classes} classes the head must produce (R, K) or (N, K, H, W) with K = "
                f"{' or '.join(map(str, columns))}"
            )
        shape = logits.shape[:1] + logits.shape[2:]
        self._refuse(
            target_problem(logits, targets, self.takes_soft_labels),
            row_weight_problem(row_weight, shape),
        )
        self._check_targets(targets, logits.shape[1] - 1)

    def _refuse(self, *problems: str | None) -> None:
        for problem in problems:
            if problem is not None:
                raise InputError(f"{type(self).__name__} {problem}")

    @torch.jit.unused
    def _check_targets(self, targets: Tensor, largest: int) -> None:
        """Refuse labels above the largest: at once on a CPU. A GPU is not waited for: there, and in
        compiled code, an assertion of the device ends the process, as in PyTorch's cross entropy.
        """
        if targets.is_floating_point():
            return
        if targets.device.type != "cpu" or torch.compiler.is_compiling():
            torch._assert_async((targets <= largest).all(), "a target is above the classes")
        elif targets.numel() and int(targets.max()) > largest:
            background = f", {self.num_classes} background" if largest == self.num_classes else ""
            raise InputError(
                f"{type(self).__name__} got the target {int(targets.max())}: with "
                f"{self.num_classes} classes give 0 to {self.num_classes - 1}{background} or a "
                "negative number for ignored"
            )

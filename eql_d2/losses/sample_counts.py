"""What losses share that go by the number of training samples of the classes."""

import torch
from torch import Tensor

from ..exceptions import InputError
from .arguments import PerClass, values_per_class
from .base import ClassificationLoss

# Classes that a message names
_NAMED = 5


class SampleCountLoss(ClassificationLoss):
    """A loss whose margins or weights follow from the training samples of the classes.

    Args:
        num_classes: number C of classes, in a box head without the background.
        class_count: (C,) training samples of each class, or a function that returns it, called
            before the first training step (test needs no training data).
        prior_prob: see :class:`ClassificationLoss`.

    Raises:
        InputError: no counts, of another length than C, or one that is not positive.
    """

    needs_class_count = True

    def __init__(self, num_classes: int, class_count: PerClass, prior_prob: float | None = None):
        super().__init__(num_classes, num_logits=num_classes + 1, prior_prob=prior_prob)
        if class_count is None:
            raise InputError(
                f"{type(self).__name__} has no class_count: give the training samples of each "
                "class, for example eql_d2.data.get_class_count(dataset_names)"
            )
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
                f"class_count of {type(self).__name__} is not positive for {len(bad)} of "
                f"{self.num_classes} classes (index {first}): without samples their margin or "
                "weight would be infinite, so take these classes out of the training data or give "
                "them samples"
            )
        self.class_count = count

    def prepare_training(self) -> None:
        if self.class_count is None:
            self._set_class_count(self._get_class_count())

    @torch.jit.unused
    def _samples(self, logits: Tensor) -> Tensor:
        """n, float64 (C,), where the logits are."""
        self.prepare_training()  # in a training loop of one's own nobody has called it
        self.class_count = self.class_count.to(logits.device)
        return self.class_count
